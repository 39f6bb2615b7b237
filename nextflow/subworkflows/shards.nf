//
// What the subworkflows know of shards
//

/**
 * The shards of a FASTA, each as an input of its own. A shard is named after its place alone, and its meta holds nothing
 * of the other shards: what changes in one of them leaves the tasks of the others as they were.
 */
def each_shard(meta, shards) {
    return shards.collect { shard -> [[id: "${meta.id}.${shard.baseName}", fasta: meta], shard] }
}

/**
 * The parts of each FASTA together, as [meta, files, ...], from one [meta, files, ...] for each shard; `ch_shards` says how
 * many there are. Parts arrive in any order. Sorted by name they make the same gathering task every time, so that it resumes.
 */
def of_each_fasta(ch_parts, ch_shards) {
    def ch_counts = ch_shards.map { meta, shards -> [meta, shards.size()] }
    return ch_parts
        .map { part -> [part[0].fasta] + part.drop(1) }
        .combine(ch_counts, by: 0)
        .map { part -> [groupKey(part[0], part.last())] + part.drop(1).dropRight(1) }
        .groupTuple(remainder: true)
        .map { parts -> [parts[0].getGroupTarget()] + parts.drop(1).collect { lists -> by_name(lists) } }
}

/** The files of several tasks as one list, sorted by name. */
def by_name(lists) {
    return lists.flatten().sort { found -> found.name }
}
