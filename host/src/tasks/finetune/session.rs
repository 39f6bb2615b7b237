//! Everything that a training needs, and the training itself.

use std::cell::RefCell;
use std::path::Path;

use anyhow::Context as _;
use pliant_kernels::{Device, Precision};
use pliant_models::adapter::AdapterPlan;
use pliant_models::heads::{HeadConfig, HeadKind, LoadedHead};
use pliant_seq::MlmSettings;
use pliant_seq::tables::{LabelKind, LabelledSet};
use pliant_tensor::Tape;

use super::examples::Examples;
use crate::Context;
use crate::cli::finetune::FinetunePlan;
use crate::cli::shared::{ComputePlan, CudaPlan, Long, LongPlan};
use crate::engine::{self, Begin, Card, Group, Learner, LearnerSettings, Pupil};
use crate::eval::{Metric, Subject};
use crate::supervised::HeadError;
use crate::supervised::brought_metric::BroughtMetric;
use crate::supervised::card::ADAPTER_FOLDER;
use crate::supervised::measures::{Ranking, measured};
use crate::supervised::registry::Task;
use crate::supervised::stored::Stored;
use crate::supervised::targets::{Balance, Scale, Targets};
use crate::tasks::encode::{self, Encoded, Wish, pool};
use crate::tasks::files;
use crate::train::checkpoint::{Checkpoint, MODEL, OPTIMIZER, Origin, State};
use crate::train::config::Beginning;
use crate::train::course::labels::{
    Batches, Beside, HEAD, LabelCourse, Lecture, Prefix, States, prefix_states, usable,
};
use crate::train::folder::{CONFIG_FILE, RunFolder};
use crate::train::kill::point;
use crate::train::resume;
use crate::train::run::{Pace, Rhythm, Run};
use crate::train::tuning::{BestBy, ClassWeights, EncoderTuning, LongChoice, PairHead, TuningConfig};

/// A training about to begin.
pub(super) struct Session<'a> {
    pub(super) plan: &'a FinetunePlan,
    pub(super) config: &'a TuningConfig,
    pub(super) task: &'static Task,
    pub(super) folder: &'a RunFolder,
    pub(super) device: &'a Device,
    pub(super) examples: &'a Examples,
    pub(super) metric: Option<&'a BroughtMetric>,
}

/// What a training has led to.
pub(super) struct Outcome {
    /// Where it ended.
    pub(super) state: State,
    /// Steps of an epoch.
    pub(super) steps_of_epoch: u64,
    /// What the head is.
    pub(super) head: HeadConfig,
    /// What encodes.
    pub(super) encoder: EncoderFacts,
    /// Parameters that learnt, and all of them.
    pub(super) parameters: [u64; 2],
    /// Where it computed.
    pub(super) numerics: String,
}

/// What encodes.
#[derive(Debug, Clone)]
pub(super) struct EncoderFacts {
    /// Its family.
    pub(super) family: &'static str,
    /// How residues become tokens.
    pub(super) vocabulary: &'static str,
    /// The layer that the head reads.
    pub(super) layer: usize,
    /// What it was before the training, in hex.
    pub(super) identity: String,
    /// Whether it learnt.
    pub(super) learns: bool,
    /// Whether it has an adapter: one that learnt, or one that was given.
    pub(super) adapts: bool,
}

/// What encodes, ready.
enum Encoder {
    Stored(Vec<Stored>),
    Pupil(Box<Pupil>, Option<Kept>),
}

/// States of a layer below which nothing learns, of what is learnt from and of what is kept apart.
struct Kept {
    layer: usize,
    sets: Vec<Stored>,
}

impl Session<'_> {
    /// Trains to the end, from the beginning or from `newest`.
    ///
    /// # Errors
    /// Whatever ends it before its last step.
    pub(super) fn run(&self, newest: Option<Checkpoint>, context: &Context) -> anyhow::Result<Outcome> {
        let config = self.config;
        self.fits()?;
        let card = self.card()?;
        let (width, training_length) = match &card {
            Some(card) => (card.about.width, card.about.training_length),
            None => (0, None),
        };
        let numerics = match &card {
            Some(card) => engine::numerics_of(card, self.device),
            None => self.device.numerics().to_owned(),
        };
        let (mut encoder, mut facts) = self.encoder(card, newest.as_ref(), context)?;
        let (width, training_length) = match &encoder {
            Encoder::Pupil(pupil, _) => (pupil.about().width, pupil.about().training_length),
            Encoder::Stored(_) => (width, training_length),
        };
        let head_config = self.head_config(width);
        let precision = self.precision();
        let head = self.head(&head_config, newest.as_ref(), precision)?;
        let limit = match config.data.long {
            LongChoice::Truncate => training_length.unwrap_or(usize::MAX),
            LongChoice::Whole => usize::MAX,
        };
        if let Encoder::Pupil(pupil, kept) = &mut encoder {
            *kept = self.kept(pupil, facts.layer, limit, context)?;
        }
        let lecture = self.lecture(&head, &encoder, &facts, limit)?;
        if head_config.standardized && newest.is_none() {
            lecture.standardize((self.device, precision))?;
        }
        let (mut learner, parameters) = self.learner(&lecture, &encoder, &head, precision)?;
        if let Some(Checkpoint { path, state }) = &newest {
            learner.restore(&path.join(OPTIMIZER), state.step)?;
        }
        let steps_of_epoch = lecture.steps();
        let identity = std::mem::take(&mut facts.identity);
        let begun = (self.begun_with(&identity)?, numerics.clone());
        let origin = self.origin(begun, steps_of_epoch * config.run.epochs);
        facts.identity = identity;
        let saved = newest.is_some();
        let steps = steps_of_epoch * config.run.epochs;
        let state = resume::state(self.folder, origin, newest.map(|newest| newest.state), steps)?;
        self.begin()?;
        let state = self.train((state, saved), (lecture, &mut learner, parameters), context)?;
        Ok(Outcome { state, steps_of_epoch, head: head_config, encoder: facts, parameters, numerics })
    }

    /// By what epochs are ranked: where a measure is to be it and none is named, that which was brought comes first.
    fn ranking(&self) -> Result<Ranking, HeadError> {
        let brought = self.metric.map(BroughtMetric::names).unwrap_or_default();
        match (&self.config.run.metric, self.config.run.best_by) {
            (None, BestBy::Loss) => Ok(Ranking::Loss),
            (None, BestBy::Metric) if brought.is_empty() => Ok(Ranking::Metric(None)),
            (None, BestBy::Metric) => Ok(Ranking::Brought(0)),
            (Some(name), _) => {
                if let Some(place) = brought.iter().position(|own| own == name) {
                    return Ok(Ranking::Brought(place));
                }
                let metric = Metric::named(&Subject::of(self.examples.train.labels()), name);
                let unknown = |unknown| HeadError::Unfit { what: format!("\"run.metric\": {unknown}") };
                Ok(Ranking::Metric(Some(metric.map_err(unknown)?)))
            }
        }
    }

    /// Refuses what the task and its labels do not go with.
    fn fits(&self) -> anyhow::Result<()> {
        self.ranking()?;
        if self.config.head.standardize && !self.head_config(1).kind.pools() {
            let what = "\"head.standardize\" is for heads of pooled vectors, and this one reads the states of residues";
            return Err(HeadError::Unfit { what: what.to_owned() }.into());
        }
        let set = &self.examples.train;
        let wants_pairs = self.task.kind.takes_pairs();
        if set.are_pairs() != wants_pairs {
            let what = format!(
                "the task {} wants {}",
                self.task.name,
                if wants_pairs { "pairs" } else { "single proteins" }
            );
            return Err(HeadError::Unfit { what }.into());
        }
        if (set.kind() == LabelKind::Residues) != (self.task.kind == HeadKind::Residue) {
            let what = format!("the task {} does not go with labels that are {}", self.task.name, set.kind());
            return Err(HeadError::Unfit { what }.into());
        }
        Ok(())
    }

    /// The folder of the model, where there is one.
    fn card(&self) -> anyhow::Result<Option<Card>> {
        match self.config.model.beginning() {
            Beginning::Weights(model) => {
                let adapter = self.config.tuning.adapter.as_deref().filter(|_| self.frozen());
                Ok(Some(engine::adapted_card(model, adapter)?))
            }
            Beginning::Random(_) => Ok(None),
        }
    }

    fn frozen(&self) -> bool {
        self.config.tuning.encoder == EncoderTuning::Frozen
    }

    /// A head alone computes in f32, as it does when it is asked.
    fn precision(&self) -> Precision {
        if self.frozen() { Precision::F32 } else { self.config.run.precision.into() }
    }

    fn encoder(
        &self,
        card: Option<Card>,
        newest: Option<&Checkpoint>,
        context: &Context,
    ) -> anyhow::Result<(Encoder, EncoderFacts)> {
        if let (Some(card), true) = (&card, self.frozen()) {
            let layer = self.layer(card.about.layers)?;
            let (family, vocabulary) = (card.about.family, card.about.vocabulary);
            self.pools(family, card.vocabulary.cls)?;
            let Encoded { sets, identity, adapter, .. } = self.encode(card.clone(), layer, context)?;
            let adapts = adapter.is_some();
            let facts = EncoderFacts { family, vocabulary, layer, identity, learns: false, adapts };
            return Ok((Encoder::Stored(sets), facts));
        }
        let pupil = self.pupil(card.as_ref(), newest)?;
        let layer = self.layer(pupil.about().layers)?;
        let identity = self.beginning(card.as_ref(), &pupil, newest)?;
        let (family, vocabulary) = (pupil.about().family, pupil.about().vocabulary);
        self.pools(family, pupil.vocabulary().cls)?;
        let adapts = pupil.is_adapted();
        let facts = EncoderFacts { family, vocabulary, layer, identity, learns: !adapts, adapts };
        Ok((Encoder::Pupil(Box::new(pupil), None), facts))
    }

    /// Refuses to read a token that a model does not have.
    fn pools(&self, family: &str, has_token: bool) -> Result<(), HeadError> {
        let pooling = self.config.head.pooling;
        if has_token || !pooling.reads_cls() || !self.head_config(1).kind.pools() {
            return Ok(());
        }
        let what = format!(
            "\"head.pooling\" is \"{}\": a model of the family {family} has no token that speaks for the whole protein; \
             choose mean, max, sum or attention",
            pooling.name()
        );
        Err(HeadError::Unfit { what })
    }

    /// The number of the layer that the head reads.
    fn layer(&self, last: usize) -> Result<usize, HeadError> {
        let asked = self.config.tuning.layer;
        let from_start = if asked < 0 { asked.saturating_add(last as i64 + 1) } else { asked };
        usize::try_from(from_start).ok().filter(|layer| *layer <= last).ok_or_else(|| HeadError::Unfit {
            what: format!(
                "\"tuning.layer\" is {asked}: the model has layers 0 (embedding) to {last}, or -{} to -1 from the end",
                last + 1
            ),
        })
    }

    fn encode(&self, card: Card, layer: usize, context: &Context) -> anyhow::Result<Encoded> {
        let config = self.config;
        let reads_states = self.head_config(1).reads_states();
        let pool = (!reads_states).then(|| pool(config.head.pooling));
        let truncates = config.data.long == LongChoice::Truncate;
        let long = if truncates { Long::Truncate } else { Long::Whole };
        let wish = Wish {
            layer,
            pool,
            long: LongPlan { policy: long, window: None, stride: None },
            compute: ComputePlan {
                device: self.plan.device,
                cpu_path: self.plan.cpu_path,
                precision: config.run.precision.into(),
                threads: self.plan.threads,
                batch_tokens: Some(config.run.budget_tokens.max(card.about.cost.pack_tokens)),
                cuda: CudaPlan::default(),
            },
            cache: self.plan.cache.clone(),
        };
        let sets = std::iter::once(&self.examples.train).chain(&self.examples.held_out);
        let lists: Vec<Vec<&[u8]>> = sets.map(encode::sequences).collect();
        encode::encode(card, &lists, &wish, context, |_| Ok(()))
    }

    /// The encoder that learns: from its beginning, or as a checkpoint has it.
    fn pupil(&self, card: Option<&Card>, newest: Option<&Checkpoint>) -> anyhow::Result<Pupil> {
        let config = self.config;
        let place = (self.device, config.run.precision.into());
        let load = |folder: &Path| match (config.tuning.encoder, config.tuning.top_layers) {
            (EncoderTuning::Names, _) => Pupil::load_named(folder, &config.tuning.names, place),
            (_, Some(layers)) => Pupil::load_top(folder, layers, place),
            (_, None) => Pupil::load(folder, place),
        };
        if config.tuning.encoder == EncoderTuning::Lora {
            let card = card.context("a model without a folder")?;
            let saved = newest.map(|Checkpoint { path, .. }| path.join(ADAPTER_FOLDER));
            let plan = self.adapter_plan(card);
            let begin = match saved.as_deref().or(config.tuning.adapter.as_deref()) {
                Some(folder) => Begin::Read(folder),
                None => Begin::New(&plan, config.run.seed),
            };
            let pupil = Pupil::load_adapted(&card.folder, &begin, place)?;
            if config.tuning.mlm_weight > 0.0 {
                pupil.check_lm_head()?;
            }
            return Ok(pupil);
        }
        let pupil = match (newest, config.model.beginning()) {
            (Some(Checkpoint { path, .. }), _) => load(&path.join(MODEL))?,
            (None, Beginning::Random(file)) => Pupil::create(file, config.run.seed, place)?,
            (None, Beginning::Weights(_)) => {
                let card = card.context("a model without a folder")?;
                if card.about.parameters == 0 {
                    let what = format!(
                        "the model {} has nothing that could learn: take --tune frozen",
                        card.about.family
                    );
                    return Err(HeadError::Unfit { what }.into());
                }
                load(&card.folder)?
            }
        };
        if config.tuning.mlm_weight > 0.0 {
            pupil.check_lm_head()?;
        }
        Ok(pupil)
    }

    /// What a new adapter is to be.
    fn adapter_plan(&self, card: &Card) -> AdapterPlan {
        let tuning = &self.config.tuning;
        let last = card.about.layers as i64;
        // A number that is no layer is refused where the model is known.
        let layer = |&number: &i64| {
            usize::try_from(if number < 0 { last + 1 + number } else { number }).unwrap_or(usize::MAX)
        };
        AdapterPlan {
            targets: tuning.lora_targets.clone(),
            layers: tuning.lora_layers.iter().map(layer).collect(),
            rank: tuning.lora_rank,
            alpha: tuning.lora_alpha,
            dropout: tuning.lora_dropout,
        }
    }

    /// The states of the highest layer below everything that learns, where they have room.
    fn kept(
        &self,
        pupil: &Pupil,
        layer: usize,
        limit: usize,
        context: &Context,
    ) -> anyhow::Result<Option<Kept>> {
        let TuningConfig { tuning, run, .. } = self.config;
        let still = pupil.still().min(layer).min(pupil.model().layers().saturating_sub(1));
        if still == 0
            || still < pupil.model().first_layer()
            || !pupil.model().continues()
            || tuning.mlm_weight > 0.0
        {
            return Ok(None);
        }
        let sets: Vec<&LabelledSet> =
            std::iter::once(&self.examples.train).chain(&self.examples.held_out).collect();
        let tokens = |set: &&LabelledSet| -> usize {
            (0..set.sequences()).map(|sequence| set.sequence(sequence).len().min(limit) + 2).sum()
        };
        let bytes = sets.iter().map(tokens).sum::<usize>() * pupil.about().width * size_of::<f32>();
        let gigabytes = bytes as f64 / 1e9;
        if gigabytes > tuning.prefix_gigabytes {
            if tuning.prefix_gigabytes > 0.0 {
                context.print.note(&format!(
                    "the states of layer {still}, below which nothing learns, would take {gigabytes:.1} GB and are \
                     computed anew each time; 'tuning.prefix_gigabytes' gives them room"
                ));
            }
            return Ok(None);
        }
        let tape = Tape::off(self.device, self.precision());
        let sizes = (still, limit, run.budget_tokens);
        let states = sets.into_iter().map(|set| prefix_states(pupil, &tape, set, sizes));
        Ok(Some(Kept { layer: still, sets: states.collect::<anyhow::Result<_>>()? }))
    }

    /// A digest of what the weights began with.
    fn beginning(
        &self,
        card: Option<&Card>,
        pupil: &Pupil,
        newest: Option<&Checkpoint>,
    ) -> anyhow::Result<String> {
        match (self.config.model.beginning(), newest, card) {
            (Beginning::Random(file), ..) => {
                let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                Ok(blake3::hash(&text).to_hex().to_string())
            }
            (Beginning::Weights(_), Some(_), Some(card)) if !pupil.is_adapted() => {
                engine::verify(&card.folder)
            }
            _ => Ok(pupil.identity().to_owned()),
        }
    }

    fn head_config(&self, inputs: usize) -> HeadConfig {
        let head = &self.config.head;
        let kind = match (self.task.kind, head.pairs) {
            (HeadKind::Symmetric, PairHead::Alignment) => HeadKind::Alignment,
            (HeadKind::Symmetric, PairHead::Average) => HeadKind::Average,
            (kind, _) => kind,
        };
        let train = &self.examples.train;
        // As published: one number says which of two classes it is.
        let one = kind == HeadKind::Average && train.kind() == LabelKind::Class && train.classes().len() == 2;
        let outputs = if one { 1 } else { train.labels().width() };
        HeadConfig {
            kind,
            inputs,
            outputs,
            pooling: kind.pools().then_some(head.pooling),
            hidden: if kind == HeadKind::Alignment { None } else { head.hidden },
            embedding: head.embedding.filter(|_| kind == HeadKind::Alignment),
            activation: head.activation,
            dropout: head.dropout as f32,
            standardized: head.standardize,
        }
    }

    fn head(
        &self,
        config: &HeadConfig,
        newest: Option<&Checkpoint>,
        precision: Precision,
    ) -> anyhow::Result<LoadedHead> {
        let head = LoadedHead::random(config, self.config.run.seed, (self.device, precision))?;
        if let Some(Checkpoint { path, .. }) = newest {
            head.restore(&path.join(HEAD))?;
        }
        Ok(head)
    }

    fn lecture<'b>(
        &'b self,
        head: &'b LoadedHead,
        encoder: &'b Encoder,
        facts: &EncoderFacts,
        limit: usize,
    ) -> anyhow::Result<Lecture<'b>> {
        let TuningConfig { tuning, run, masking, head: section, .. } = self.config;
        let states = match encoder {
            Encoder::Stored(sets) => {
                let train = sets.first().context("nothing was encoded")?;
                States::Stored { train, held_out: sets.get(1) }
            }
            Encoder::Pupil(pupil, kept) => {
                let prefix = kept.as_ref().and_then(|Kept { layer, sets }| {
                    Some(Prefix { layer: *layer, train: sets.first()?, held_out: sets.get(1) })
                });
                States::Pupil { pupil: pupil.as_ref(), layer: facts.layer, prefix }
            }
        };
        let balanced = tuning.class_weights == ClassWeights::Balanced;
        let scale = Scale::of(&self.examples.train);
        let balance = if balanced { Balance::of(&self.examples.train) } else { None };
        let train = Targets { set: &self.examples.train, limit, scale, balance };
        let held_out =
            self.examples.held_out.as_ref().map(|set| Targets { set, limit, scale, balance: None });
        let usable = usable(&train)?;
        let head_config = self.head_config(1);
        Ok(Lecture {
            head,
            kind: head_config.kind,
            pooling: section.pooling,
            reads_states: head_config.reads_states(),
            states,
            train,
            held_out,
            batches: Batches {
                examples: run.batch,
                of_epoch: run.epoch_examples.unwrap_or(usize::MAX),
                budget_tokens: run.budget_tokens,
                seed: run.seed,
            },
            beside: Beside {
                task: tuning.task_weight,
                mlm: tuning.mlm_weight,
                masking: MlmSettings { choose: masking.choose, mask: masking.mask, random: masking.random },
                rounding: masking.rounding(),
            },
            usable,
            order: RefCell::new(None),
        })
    }

    /// How the head and what of the encoder the loss reaches learn; with the parameters that do, and all there are.
    fn learner(
        &self,
        lecture: &Lecture<'_>,
        encoder: &Encoder,
        head: &LoadedHead,
        precision: Precision,
    ) -> anyhow::Result<(Learner, [u64; 2])> {
        let TuningConfig { optimizer, tuning, run, .. } = self.config;
        let (all, reached) = match encoder {
            Encoder::Stored(_) => (&[][..], Vec::new()),
            Encoder::Pupil(pupil, _) => {
                (pupil.params(), lecture.reached((self.device, precision), pupil.params())?)
            }
        };
        let settings = LearnerSettings {
            precision,
            optimizer: optimizer.settings(),
            recompute: run.recompute,
            seed: run.seed,
        };
        let clip = optimizer.largest_norm();
        let mut groups = vec![Group { prefix: "head.", params: head.params(), rate: tuning.head_rate, clip }];
        if !reached.is_empty() {
            groups.push(Group { prefix: "", params: &reached, rate: tuning.encoder_rate, clip });
        }
        let count = |params: &[std::sync::Arc<pliant_tensor::Param>]| -> u64 {
            params.iter().map(|param| param.len() as u64).sum()
        };
        let learning: Vec<_> = head.params().iter().filter(|param| param.is_trainable()).cloned().collect();
        let parameters = [count(&learning) + count(&reached), count(head.params()) + count(all)];
        Ok((Learner::new(self.device, settings, &groups)?, parameters))
    }

    /// The identity of a model, with that of the adapter that was named for it.
    fn begun_with(&self, identity: &str) -> anyhow::Result<String> {
        let TuningConfig { model, tuning, .. } = self.config;
        let (Some(adapter), Some(model)) = (&tuning.adapter, &model.init) else {
            return Ok(identity.to_owned());
        };
        let card = engine::adapted_card(model, Some(adapter))?;
        Ok(format!("{identity} with the adapter {}", card.adapter_identity().unwrap_or_default()))
    }

    fn origin(&self, (model, numerics): (String, String), steps: u64) -> Origin {
        let held_out = self.examples.held_out.as_ref();
        let mut settings = self.config.binding();
        settings.extend(self.metric.map(|metric| ("run.plugin".to_owned(), metric.identity().to_owned())));
        Origin {
            settings,
            model,
            train: self.examples.train.digest(),
            held_out: held_out.map(LabelledSet::digest).unwrap_or_default(),
            schedule_end: self.config.schedule.end(steps),
            numerics,
        }
    }

    /// Says in the folder what is going on there.
    fn begin(&self) -> anyhow::Result<()> {
        self.folder.write(CONFIG_FILE, &self.config.to_toml())?;
        point("run: configuration named");
        if !self.examples.failures.is_empty() {
            let path = self.folder.path().join("failures.tsv");
            files::failure_list(&path, &self.examples.failures)?.commit()?;
        }
        Ok(())
    }

    fn train(
        &self,
        (state, saved): (State, bool),
        (lecture, learner, parameters): (Lecture<'_>, &mut Learner, [u64; 2]),
        context: &Context,
    ) -> anyhow::Result<State> {
        let config = self.config;
        let steps_of_epoch = lecture.steps();
        let steps = steps_of_epoch * config.run.epochs;
        let schedule = config.schedule.over(steps).context("the schedule cannot be")?;
        let progress = context.print.progress_from(state.step, steps, "steps");
        let pace = Pace {
            folder: self.folder,
            steps,
            accumulate: 1,
            learning_rate: config.optimizer.learning_rate,
            schedule,
            checkpoint: &config.checkpoint,
            log_every: steps_of_epoch,
            examine: Rhythm::Every(steps_of_epoch),
            patience: config.run.patience,
            minutes: config.run.minutes,
        };
        let by = (self.ranking()?, self.metric);
        let measure = |targets: &Targets<'_>, told: &[Vec<f32>]| measured(targets, told, by);
        let mut course = LabelCourse { lecture, learner, measure: &measure, parameters };
        Run::new(pace, &mut course, state, saved)?.finish(&progress)
    }
}
