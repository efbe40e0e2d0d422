/** The teachers of a run: from what options name, through headers that are checked, to models beside the student. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Read } from "../checkpoint/lineage/input.ts";
import { open } from "../checkpoint/open.ts";
import type { Batch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { ModelSizes } from "../model/architecture.ts";
import { configOf, Model } from "../model/model.ts";
import { architectureOf } from "../model/registry.ts";
import { baseTeacher, liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import type { DataSetup, WorkSetup } from "../run/training/training.ts";
import type { DistillRun } from "./run.ts";

/** What is wrong, and what to do. */
type Refusal = readonly [message: string, hint: string];

/** Teachers whose headers are read and checked against the student's. */
export interface OpenTeachers {
  /** For lineage. */
  readonly read: readonly Read[];
  /** What goes with these teachers not at all: packed rows, samples of the student, samples of the teacher. */
  readonly refuses: Readonly<Partial<Record<"pack" | "own samples" | "samples", Refusal>>>;
  /** Throws UserError for rows that they cannot answer. */
  check?(sequences: readonly Sequence[]): void;
  /** Called for every batch before it is trained on. */
  prepare?(batch: Batch): Promise<void>;
  load(setup: Pick<WorkSetup<Batch>, "gpu" | "model" | "original">): Promise<LoadedTeachers>;
}

export interface LoadedTeachers {
  readonly teachers: readonly Teacher[];
  /** Those of them that are models beside the student, and what these were read from. */
  readonly models: readonly Model[];
  readonly checkpoints: readonly Checkpoint[];
  /** Outputs that student and teachers share. */
  readonly outputs: number;
}

/** A teacher's checkpoint, as far as its headers say. */
export interface TeacherHeader {
  readonly checkpoint: Checkpoint;
  readonly sizes: ModelSizes;
}

/** How a teacher compares with the student. */
export interface TeacherReading {
  /** Why it gives no samples in the student's tokens; undefined where it does. */
  readonly silent?: Refusal;
  /** Checks a teacher; gives the outputs that both have, and the teacher of the loaded model. Throws UserError. */
  compare(run: DistillRun, teacher: TeacherHeader, student: DataSetup): Promise<Compared>;
}

export interface Compared {
  readonly outputs: number;
  /** `outputs` is the least over all teachers. */
  teacher(model: Model, outputs: number): Teacher;
}

async function headerOf(run: DistillRun, name: string, task: DataSetup["task"]): Promise<TeacherHeader> {
  const checkpoint = await open(name, { warn: (text) => run.warn(text) });
  run.onExit(() => checkpoint.close());
  const where = `${checkpoint.ref}: config.json`;
  const json = configOf(checkpoint);
  const architecture = await architectureOf(json, where);
  if (architecture.task !== task)
    throw new UserError(`the teacher ${checkpoint.ref} is a ${architecture.task}, the student a ${task}`);
  return { checkpoint, sizes: architecture.sizes(architecture.config(json, where)) };
}

const SELF = "self";

/** Opens the teachers that options name; "self" is the student as it was. `trains`: their weights are trained too. */
export async function openNamed(
  run: DistillRun,
  setup: DataSetup,
  {
    refs,
    reading,
    trains,
  }: { readonly refs: readonly string[]; readonly reading: TeacherReading; readonly trains: boolean },
): Promise<OpenTeachers> {
  const { options } = run;
  /** Whether a teacher is the student's own base, beneath its adapter. */
  const isBase = (ref: string | undefined) => ref === SELF && (options.lora || options.lora_continue);
  const headers: (TeacherHeader & Compared)[] = [];
  for (const ref of refs) {
    if (ref === SELF) continue;
    const header = await headerOf(run, ref, setup.task);
    headers.push({ ...header, ...(await reading.compare(run, header, setup)) });
  }
  const outputs = headers.reduce((least, header) => Math.min(least, header.outputs), setup.sizes.outputs);
  const checkpoints = headers.map(({ checkpoint }) => checkpoint);
  const silent: Refusal | undefined = isBase(refs[0])
    ? ["the base under an adapter does not sample", "name it: --teacher MODEL"]
    : reading.silent;
  return {
    read: checkpoints.map((checkpoint) => ({ checkpoint, role: "teacher" })),
    refuses: silent ? { samples: silent } : {},
    async load({ gpu, model, original }) {
      const models: Model[] = [];
      const teachers: Teacher[] = [];
      const left = headers.values();
      for (const ref of refs) {
        if (isBase(ref)) {
          teachers.push(baseTeacher(model));
          continue;
        }
        const header = ref === SELF ? undefined : left.next().value!;
        const loaded = header
          ? await Model.load(gpu, header.checkpoint, {
              ...(trains ? { dtype: "f32" } : { freeze: () => true }),
              warn: (text) => run.warn(text),
            })
          : await original();
        models.push(loaded);
        teachers.push(header ? header.teacher(loaded, outputs) : liveTeacher(loaded, outputs));
      }
      return { teachers, models, checkpoints, outputs };
    },
  };
}
