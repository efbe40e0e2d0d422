/**
 * How much each weight matters on source rows: the mean over batches of the squared gradient of the cross-entropy of
 * the model's own answers, taken for labels. Squares are of the gradient of a batch's mean, as the authors of EATA and
 * PSMT have it; a Fisher information has them by row (run/fisher).
 */
import { decodeFloats } from "../../checkpoint/decode.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { batchKey, stackExamples } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { mean } from "../../tensor/ops/reduce.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { SquaredGradients } from "../fisher/squared-gradients.ts";
import { Programs } from "../programs.ts";
import { Anchor } from "../training/rules/anchor.ts";
import type { Setting } from "./contract.ts";
import { Answers } from "./student.ts";

export interface ImportanceOptions {
  /** The first rows of the source, so many at most. */
  readonly rows: number;
  /** What is taken for labels: the answers of the model, or the rows' own. */
  readonly labels: "answers" | "own";
}

/** Where the trained weights are, with their importances. The caller frees it. */
export async function anchorAtSource(setting: Setting, { rows, labels }: ImportanceOptions): Promise<Anchor> {
  const { gpu, model, source, batchSize, classes, signal } = setting;
  if (!source) throw new Error("importances are measured on source rows");
  const parameters = model.trainable();
  const anchor = new Anchor(gpu, parameters, { weighed: true });
  const squares = await SquaredGradients.make(gpu, parameters);
  const programs = new Programs(gpu, { training: true });
  const answers = new Answers(model, { source: undefined });
  const parts = source.inOrder(batchSize).slice(0, Math.ceil(rows / batchSize));
  try {
    for (const part of parts) {
      signal.throwIfAborted();
      const batch = stackExamples(part);
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const { hidden, head } = model.record(rec, recordInputs(rec, batch), { statistics: "rows" });
        const loss = mean(rec, crossEntropy(rec, head(hidden), recordTargets(rec, batch)));
        rec.backward([[loss, rec.constant(Float32Array.of(1), [1], "one")]]);
      });
      const asked = { ...batch };
      if (labels === "answers") {
        const { logits } = (await answers.of(batch, ["source"])).get("source")!;
        asked.labels = batch.labels.map((_, i) => {
          const own = logits.subarray(i * classes, (i + 1) * classes);
          return own.indexOf(Math.max(...own));
        });
      }
      fillInputs(program, asked);
      fillTargets(program, asked);
      program.run({ accumulate: 0, seed: 0 });
      squares.add(1 / parts.length);
    }
    await anchor.add((parameter) => squares.of.get(parameter)!.buffer);
  } finally {
    squares.free();
    programs.free();
    answers.free();
  }
  return anchor;
}

/** The same of a file that `evaluate --probe fisher` wrote. Throws UserError for one of another model. */
export async function anchorFromFile({ gpu, model }: Setting, file: string): Promise<Anchor> {
  const saved = await openPlain(file);
  const parameters = model.trainable();
  const anchor = new Anchor(gpu, parameters, { weighed: true });
  try {
    const trained = new Set(parameters);
    for (const { name, shape, parameter, start } of model.stored) {
      if (!trained.has(parameter)) continue;
      const entry = saved.tensors.get(name);
      if (!entry || entry.shape.join() !== shape.join())
        throw new UserError(
          `${file} has no importances of ${name} (${shape.join(", ")})`,
          "it was measured on another model: bun run evaluate MODEL --data FILE --probe fisher --fisher-save FILE writes one",
        );
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      anchor.set(parameter, start, decodeFloats(bytes, entry.dtype));
    }
    return anchor;
  } catch (error) {
    anchor.free();
    throw error;
  } finally {
    saved.close();
  }
}
