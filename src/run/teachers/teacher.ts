/**
 * Where teacher distributions come from: a model that runs beside the student, the student's own base under its
 * adapter, or a cache of top-k log-probabilities.
 */
import type { TokenBatch } from "../../data/batch.ts";
import type { Inputs, ModelSizes } from "../../model/architecture.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { embedding } from "../../tensor/ops/embedding.ts";
import { buckets } from "../../tensor/ops/sparse-teacher.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import type { CachedRows } from "./teacher-cache.ts";

/** The texts of a batch as another tokenizer has them. */
export interface OtherTokens {
  readonly batch: TokenBatch;
  /** For every position of the student's batch the row of the other's N at the same place of the text, or -1. */
  readonly places: Int32Array;
  /** The student's targets, -100 where the other has no such place. */
  readonly targets: Int32Array;
}

/** A teacher's part in one recording. */
export interface RecordedTeacher {
  /** Tensors with a row per position, which are cut into chunks. */
  readonly along: readonly Tensor[];
  /** Logits of a chunk. */
  logits(rec: Recorder, along: readonly Tensor[]): Tensor;
  /** The student's logits of a chunk, as they compare with the teacher's. */
  student(rec: Recorder, logits: Tensor, along: readonly Tensor[]): Tensor;
  /**
   * What is to be predicted where the two can be compared, negative elsewhere; the batch's own targets when left out.
   */
  targets?(along: readonly Tensor[]): Tensor;
  /** Of a live teacher. */
  readonly outputs?: Recorded;
}

export interface Teacher {
  /** Of a live teacher. */
  readonly sizes?: ModelSizes;
  /** Bytes of weights that are held for it alone. */
  readonly bytes: number;
  record(rec: Recorder, inputs: Inputs, rows: number, other?: OtherTokens): RecordedTeacher;
  fill(program: Program, cached: CachedRows | undefined, other?: OtherTokens): void;
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
    bytes: [...model.parameters.values()].reduce((sum, { bytes }) => sum + bytes, 0),
    record(rec, inputs) {
      const outputs = model.record(rec, inputs);
      return {
        outputs,
        along: [outputs.hidden],
        logits: (rec, [hidden]) => firstColumns(rec, outputs.head(hidden!), common),
        student: (rec, logits) => firstColumns(rec, logits, common),
      };
    },
    fill: () => {},
    free: () => model.free(),
  };
}

/** A model that reads the same texts through its own tokenizer. */
export function foreignTeacher(model: Model): Teacher {
  return {
    ...liveTeacher(model, model.sizes.outputs),
    record(rec, _, rows, other) {
      const { hidden, head } = model.record(rec, recordInputs(rec, other!.batch, "teacher."));
      const places = rec.input("teacher.places", [rows], "i32");
      const targets = rec.input("teacher.targets", [rows], "i32");
      return {
        along: [embedding(rec, places, hidden), targets], // (N, C), zeros where there is no such place
        logits: (_, [seen]) => head(seen!),
        student: (_, logits) => logits,
        targets: ([, targets]) => targets!,
      };
    },
    fill(program, _, other) {
      fillInputs(program, other!.batch, "teacher.");
      program.write("teacher.places", other!.places);
      program.write("teacher.targets", other!.targets);
    },
  };
}

/** The base of a model that is trained through an adapter: no second model is held. */
export function baseTeacher(model: Model): Teacher {
  return {
    sizes: model.sizes,
    bytes: 0,
    record(rec, inputs) {
      const outputs = model.record(rec, inputs, { adapter: false });
      return {
        outputs,
        along: [outputs.hidden],
        logits: (rec, [hidden]) => stopGradient(rec, outputs.head(hidden!)),
        student: (_, logits) => logits,
      };
    },
    fill: () => {},
    free: () => {},
  };
}

/** Top-k log-probabilities that were written before; `k` of them per position. */
export function cachedTeacher(k: number): Teacher {
  return {
    bytes: 0,
    record(rec, _, rows) {
      return {
        along: [rec.input("teacher.ids", [rows, k], "i32"), rec.input("teacher.logits", [rows, k + 1])],
        logits: (_, [, logits]) => logits!,
        student: (rec, logits, [ids]) => buckets(rec, logits, ids!),
      };
    },
    fill(program, cached) {
      if (!cached) throw new Error("the batch has no cached rows");
      program.write("teacher.ids", cached.ids);
      program.write("teacher.logits", cached.logits);
    },
    free: () => {},
  };
}
