/**
 * Where teacher distributions come from: a model that runs beside the student, the student's own base under its
 * adapter, or a cache of top-k log-probabilities.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import type { Inputs, ModelSizes } from "../../model/architecture.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { buckets } from "../../tensor/ops/sparse-teacher.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { CachedRows, TeacherCache } from "./teacher-cache.ts";

/** Puts another tensor in the place of a noted one of a model. */
export type Change = (name: string, x: Tensor) => Tensor;

/** A teacher's part in one recording. */
export interface RecordedTeacher {
  /** Tensors with a row per position, which are cut into chunks. */
  readonly along: readonly Tensor[];
  /** More of them, made of what the student says: they follow `along`, and take gradients. */
  beside?(student: Recorded): readonly Tensor[];
  /** Logits of a chunk. */
  logits(rec: Recorder, along: readonly Tensor[]): Tensor;
  /** The student's logits of a chunk, as they compare with the teacher's. */
  student(rec: Recorder, logits: Tensor, along: readonly Tensor[]): Tensor;
  /**
   * What is to be predicted where the two can be compared, negative elsewhere; the batch's own targets when left out.
   */
  targets?(along: readonly Tensor[]): Tensor;
  /** Of a teacher whose rows stand for spans of tokens. */
  spans?(along: readonly Tensor[]): Spans;
  /** How well it predicts each sequence of the batch, (B); of teachers that are asked for it. */
  readonly reward?: Tensor;
  /** Of a live teacher. */
  readonly outputs?: Recorded;
}

/** What rows that stand for spans of tokens are compared by. */
export interface Spans {
  /** Logarithms of what the other tokens of a span multiply its probabilities by, (n) each. */
  readonly factors: { readonly own: Tensor; readonly other: Tensor };
  /** Outputs with the same text, and those of either that have none; undefined where they are not compared. */
  readonly matched: Record<"own" | "other" | "ownRest" | "otherRest", Int32Array> | undefined;
}

/** Where the answers that a student learns come from. */
export interface Teacher {
  /** Of a live teacher. */
  readonly sizes?: ModelSizes;
  /** Bytes of weights that are held for it alone. */
  readonly bytes: number;
  /** Called for every batch before it is filled. */
  prepare?(batch: Batch): Promise<void>;
  /** Names the shape of what it reads beside the student's batch: batches of one shape share programs. */
  key?(batch: Batch): string;
  record(rec: Recorder, inputs: Inputs, batch: Batch, change?: Change): RecordedTeacher;
  /** Fills what `record` declared. */
  fill?(program: Program, batch: Batch): void;
  free(): void;
}

/** The first `width` columns; padding rows of a vocabulary are beyond them. */
function firstColumns(rec: Recorder, logits: Tensor, width: number): Tensor {
  const all = logits.shape.at(-1)!;
  return all === width ? logits : splitColumns(rec, logits, [width, all - width])[0]!;
}

/**
 * A model that runs beside the student; both vocabularies are cut to `common`. It learns when its weights are
 * trainable.
 */
export function liveTeacher(model: Model, common: number): Teacher {
  return {
    sizes: model.sizes,
    bytes: [...model.parameters.values(), ...(model.adapter?.tensors() ?? [])].reduce(
      (sum, { bytes }) => sum + bytes,
      0,
    ),
    record(rec, inputs, _, replace) {
      const outputs = model.record(rec, inputs, replace ? { replace } : {});
      return {
        outputs,
        along: [outputs.hidden],
        logits: (rec, [hidden]) => firstColumns(rec, outputs.head(hidden!), common),
        student: (rec, logits) => firstColumns(rec, logits, common),
      };
    },
    free: () => model.free(),
  };
}

/** The base of a model that is trained through an adapter: no second model is held. */
export function baseTeacher(model: Model): Teacher {
  return {
    sizes: model.sizes,
    bytes: 0,
    record(rec, inputs, _, replace) {
      const outputs = model.record(rec, inputs, { adapter: false, ...(replace ? { replace } : {}) });
      return {
        outputs,
        along: [outputs.hidden],
        logits: (rec, [hidden]) => stopGradient(rec, outputs.head(hidden!)),
        student: (_, logits) => logits,
      };
    },
    free: () => {},
  };
}

/**
 * Top-k log-probabilities that were written down. The cache stays its owner's to close. `name` tells it from other
 * teachers of one recording.
 */
export function cachedTeacher(cache: Pick<TeacherCache, "k" | "rows">, name = "teacher"): Teacher {
  const known = new WeakMap<Batch, CachedRows>();
  return {
    bytes: 0,
    async prepare(batch) {
      if (isTokens(batch)) known.set(batch, await cache.rows(batch));
    },
    record(rec, _, { rows, length }) {
      const n = rows * length;
      return {
        along: [rec.input(`${name}.ids`, [n, cache.k], "i32"), rec.input(`${name}.logits`, [n, cache.k + 1])],
        logits: (_, [, logits]) => logits!,
        student: (rec, logits, [ids]) => buckets(rec, logits, ids!),
      };
    },
    fill(program, batch) {
      const said = known.get(batch);
      if (!said) throw new Error("the batch was not prepared");
      program.write(`${name}.ids`, said.ids);
      program.write(`${name}.logits`, said.logits);
    },
    free: () => {},
  };
}
