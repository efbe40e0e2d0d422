/**
 * How the sources of a classifier's input fare beside each other: how good each is alone, what its share of the logits
 * says, and how far that is from what a model says that was trained on the source alone.
 *
 *   strength_m = |phi_m - f_m| / |f_m|     over all rows, each centred over the classes
 *
 * f_m are the logits of the model of source m (with zeros in place of the others, as it was trained), phi_m the share
 * of the logits of the model that is probed (run/tracing/sources.ts). 0: training them together changed nothing of it.
 *
 * Li et al., ICCV 2023, https://arxiv.org/abs/2308.07686, whose competition strength is such a distance to the
 * mono-modal state; the normalisation is ours.
 */
import { open } from "../../../checkpoint/open.ts";
import { type Batch, batchKey } from "../../../data/batch.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, recordInputs } from "../../../run/batch-programs.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { Programs } from "../../../run/programs.ts";
import { keptSources, parseSources, type Source, sourceShares } from "../../../run/tracing/sources.ts";
import { defineTechnique, type TableCell } from "../../technique.ts";

/** Logits (rows, classes) by what they are of, and the rows' labels. */
interface Said {
  readonly logits: ReadonlyMap<string, Float64Array>;
  readonly labels: readonly number[];
  readonly classes: number;
}

/** What a model says of rows: of each source alone, and each source's share of what it says of all. */
async function said(
  model: Model,
  batches: readonly Batch[],
  sources: readonly Source[],
  { alone, signal, done }: { readonly alone?: number; readonly signal: AbortSignal; done(rows: number): void },
): Promise<Said> {
  const programs = new Programs<string[]>(model.gpu);
  const found = new Map<string, number[]>();
  const labels: number[] = [];
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program, recorded } = await programs.get(batchKey(batch), (rec) => {
        const inputs = recordInputs(rec, batch);
        if ("ids" in inputs) throw new UserError("--probe competition is for classifiers of numbers");
        const of = (kept: number) => {
          const part = model.record(rec, { ...inputs, x: keptSources(rec, inputs.x, sources, kept) });
          return part.head(part.hidden);
        };
        const known = new Map<number, ReturnType<typeof of>>();
        const once = (kept: number) => {
          const logits = known.get(kept) ?? of(kept);
          known.set(kept, logits);
          return logits;
        };
        const names: string[] = [];
        const tell = (name: string, logits: ReturnType<typeof of>) => {
          rec.output(name, logits);
          names.push(name);
        };
        for (const [m, { name }] of sources.entries())
          if (alone === undefined || alone === m) tell(`alone ${name}`, once(2 ** m));
        if (alone === undefined)
          for (const [m, share] of sourceShares(rec, sources.length, once(2 ** sources.length - 1), once).entries())
            tell(`share ${sources[m]!.name}`, share);
        return names;
      });
      fillInputs(program, batch);
      program.run();
      for (const name of recorded) {
        const list = found.get(name) ?? [];
        found.set(name, list);
        for (const value of await program.read(name)) list.push(value);
      }
      labels.push(...batch.labels);
      done(batch.rows);
    }
  } finally {
    programs.free();
  }
  const logits = new Map([...found].map(([name, list]) => [name, Float64Array.from(list)] as const));
  return { logits, labels, classes: model.sizes.outputs };
}

interface Row {
  readonly model: string;
  readonly source: string;
  /** Of the source alone, with zeros for the others. */
  readonly accuracy: number;
  /** Cross-entropy of its share. */
  readonly score: number;
  /** Of its own model. */
  readonly mono_accuracy?: number;
  readonly strength?: number | undefined;
}

/** Share of rows whose largest logit is their label's, and their mean cross-entropy. */
function judged(logits: Float64Array, { labels, classes }: Said): { accuracy: number; loss: number } {
  let [right, loss] = [0, 0];
  for (const [row, label] of labels.entries()) {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    const most = own.reduce((a, b) => Math.max(a, b));
    if (own[label] === most) right++;
    loss += most + Math.log(own.reduce((sum, x) => sum + Math.exp(x - most), 0)) - own[label]!;
  }
  return { accuracy: right / labels.length, loss: loss / labels.length };
}

/** Logits with the mean over the classes of each row taken off. */
const centred = (logits: Float64Array, classes: number): Float64Array =>
  logits.map((value, i) => {
    const start = i - (i % classes);
    return value - logits.subarray(start, start + classes).reduce((a, b) => a + b, 0) / classes;
  });

/** |phi - f| / |f|, both centred; undefined where f says nothing. */
export function strengthOf(phi: Float64Array, f: Float64Array, classes: number): number | undefined {
  const [a, b] = [centred(phi, classes), centred(f, classes)];
  const length = (x: Float64Array) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));
  return length(b) > 0 ? length(a.map((value, i) => value - b[i]!)) / length(b) : undefined;
}

/** Reads NAME=MODEL each. Throws UserError for a name that is no source. */
function monoModels(given: readonly string[], sources: readonly Source[]): Map<string, string> {
  const models = new Map<string, string>();
  for (const text of given) {
    const [name = "", ref = ""] = [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)];
    if (!sources.some((source) => source.name === name) || ref === "" || models.has(name))
      throw new UserError(
        `--competition-mono takes SOURCE=MODEL once for each source, found ${text}`,
        `the sources are ${sources.map((source) => source.name).join(", ")}`,
      );
    models.set(name, ref);
  }
  return models;
}

export const method = defineTechnique({
  name: "competition",
  title: "Competition of sources",
  about:
    "of a classifier with several sources of input: how each fares alone, in the whole, and against a model of its own",
  cite: "arXiv:2308.07686",
  metrics: [],
  task: "classifier",
  options: {
    competition_sources: {
      type: "string[]",
      required: true,
      help: "the sources: ranges of a row's numbers, from 0: audio=0-15,video=16-31",
      value: "NAME=FIRST-LAST",
    },
    competition_mono: {
      type: "string[]",
      help: "models that were trained on one source alone, with zeros for the others: audio=MODEL",
      value: "NAME=MODEL",
    },
    competition_batch: { type: "number.integer >= 1", default: 64, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ metrics, gold }) {
    if (metrics.length > 0)
      throw new UserError("--metric has no effect with --probe competition, which counts rows itself", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe competition", "give the model as one more argument");
  },

  async run({ values, groups, candidates, quantize, loader, signal }) {
    const { competition_sources: given, competition_mono: mono = [], competition_batch: size } = values;
    const rows: Row[] = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { bits: quantize });
      const { model, ref } = loaded;
      const { example } = model.sizes;
      if (loaded.tools || !example)
        throw new UserError(`--probe competition is for classifiers of numbers, and ${ref} is none`);
      const sources = parseSources(
        given,
        example.reduce((a, b) => a * b, 1),
        "--competition-sources",
      );
      const others = monoModels(mono, sources);
      const { batches } = await readBatches(groups, loaded, size);
      const all = batches.reduce((sum, batch) => sum + batch.rows, 0);
      if (i === 0) loader.begin(candidates.length * (1 + others.size) * all, "rows");
      const done = (many: number) => loader.tick(ref, many);
      const joint = await said(model, batches, sources, { signal, done });
      await loaded.free();
      for (const [m, { name }] of sources.entries()) {
        const phi = joint.logits.get(`share ${name}`)!;
        const alone = judged(joint.logits.get(`alone ${name}`)!, joint);
        const share = judged(phi, joint);
        const row = { model: ref, source: name, accuracy: alone.accuracy, score: share.loss };
        const other = others.get(name);
        if (other === undefined) {
          rows.push(row);
          continue;
        }
        const checkpoint = await open(other);
        const own = await loader.load(checkpoint, { bits: quantize });
        if (own.model.sizes.outputs !== joint.classes || own.model.sizes.example?.join() !== example.join())
          throw new UserError(`--competition-mono ${other} reads or says something else than ${ref}`);
        const heard = await said(own.model, batches, sources, { alone: m, signal, done });
        const f = heard.logits.get(`alone ${name}`)!;
        rows.push({ ...row, mono_accuracy: judged(f, heard).accuracy, strength: strengthOf(phi, f, joint.classes) });
        await own.free();
        checkpoint.close();
      }
    }
    const header = ["model", "source", "accuracy alone", "score", "accuracy of its own model", "strength"];
    const cells = rows.map((row): TableCell[] => {
      return [row.model, row.source, row.accuracy, row.score, row.mono_accuracy, row.strength];
    });
    return { table: [header, ...cells], json: { rows } };
  },
});
