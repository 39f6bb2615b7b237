import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import nextflow.config.control.ConfigParser;
import nextflow.script.control.ScriptParser;
import org.codehaus.groovy.control.SourceUnit;
import org.codehaus.groovy.control.messages.SyntaxErrorMessage;

/**
 * Reads Nextflow scripts (.nf) and settings (.config) with the strict parser and prints what is wrong with them.
 * Folders are searched; nf-test.config is a script of nf-test and no settings. Exits with 1 where something is wrong
 * or where nothing was found to read.
 * `nextflow lint` of the release does the same where all its parts are there.
 */
class StrictLint {
    private final ScriptParser scripts = new ScriptParser();
    private final ConfigParser settings = new ConfigParser();
    private int read = 0;

    public static void main(String[] paths) throws IOException {
        var lint = new StrictLint();
        for (String path : paths) {
            lint.readAll(Path.of(path));
        }
        List<String> problems = lint.problems();
        problems.forEach(System.out::println);
        System.out.println("strict syntax: " + lint.read + " files, " + problems.size() + " errors");
        System.exit(problems.isEmpty() && lint.read > 0 ? 0 : 1);
    }

    private void readAll(Path root) throws IOException {
        List<Path> files;
        try (var tree = Files.walk(root)) {
            files = tree.filter(Files::isRegularFile).sorted().toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            if (name.endsWith(".nf")) {
                scripts.parse(file.toFile());
            } else if (name.endsWith(".config") && !name.equals("nf-test.config")) {
                settings.parse(file.toFile());
            } else {
                continue;
            }
            read++;
        }
    }

    private List<String> problems() {
        scripts.analyze();
        settings.analyze();
        var problems = new ArrayList<String>();
        collect(scripts.compiler().getSources().values(), problems);
        collect(settings.compiler().getSources().values(), problems);
        problems.sort(null);
        return problems;
    }

    private static void collect(Collection<SourceUnit> sources, List<String> problems) {
        for (SourceUnit source : sources) {
            var errors = source.getErrorCollector().getErrors();
            if (errors == null) {
                continue;
            }
            for (var error : errors) {
                if (error instanceof SyntaxErrorMessage syntax) {
                    var cause = syntax.getCause();
                    String place = source.getName() + ":" + cause.getStartLine() + ":" + cause.getStartColumn();
                    problems.add(place + ": " + cause.getOriginalMessage());
                } else {
                    problems.add(source.getName() + ": " + error);
                }
            }
        }
    }
}
