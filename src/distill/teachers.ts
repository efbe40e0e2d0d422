/** The teachers of a run: from what options name, through headers that are checked, to models beside the student. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Read } from "../checkpoint/lineage/input.ts";
import { type Batch, isTokens } from "../data/batch.ts";
import type { SequenceData } from "../data/dataset.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import { Model } from "../model/model.ts";
import { openModel } from "../run/open-model.ts";
import { baseTeacher, liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { trainsAdapter } from "../run/training/adapter-choice.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Built, Opened } from "../run/training/technique.ts";
import type { DistillRun } from "./run.ts";
import type { SampleShares } from "./sampled.ts";

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
  /**
   * Throws UserError where rows of so many tokens, of the data or `written` by a model, have more than a teacher has
   * positions for.
   */
  checkLength?(tokens: number, written?: "written"): void;
  /** Called for every batch before it is trained on. */
  prepare?(batch: Batch): Promise<void>;
  load(setup: Pick<Built, "gpu" | "model" | "original">): Promise<LoadedTeachers>;
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
export type TeacherHeader = Awaited<ReturnType<typeof openModel>>;

/** How a teacher compares with the student. */
export interface TeacherReading {
  /** Why it gives no samples in the student's tokens; undefined where it does. */
  readonly silent?: Refusal;
  /** Checks a teacher; gives the outputs that both have, and the teacher of the loaded model. Throws UserError. */
  compare(run: DistillRun, teacher: TeacherHeader, student: Opened): Promise<Compared>;
}

export interface Compared {
  readonly outputs: number;
  /** `outputs` is the least over all teachers. */
  teacher(model: Model, outputs: number): Teacher;
}

async function headerOf(run: DistillRun, name: string, student: Opened): Promise<TeacherHeader> {
  const teacher = await openModel(name, { load_in: run.options.teacher_load_in }, (text) => run.warn(text));
  run.onExit(() => teacher.checkpoint.close());
  if (teacher.task !== student.task)
    throw new UserError(`the teacher ${teacher.ref} is a ${teacher.task}, the student a ${student.task}`);
  return teacher;
}

const SELF = "self";

/** Opens the teachers that options name; "self" is the student as it was. `trains`: their weights are trained too. */
export async function openNamed(
  run: DistillRun,
  student: Opened,
  {
    refs,
    reading,
    trains,
  }: { readonly refs: readonly string[]; readonly reading: TeacherReading; readonly trains: boolean },
): Promise<OpenTeachers> {
  const { options } = run;
  /** Whether a teacher is the student's own base, beneath its adapter. */
  const isBase = (ref: string | undefined) => ref === SELF && trainsAdapter(options);
  if (trains && options.teacher_load_in !== undefined)
    throw new UserError(
      `--teacher-load-in ${options.teacher_load_in} holds matrices as codes, and these teachers are trained`,
      "leave it out",
    );
  const headers: (TeacherHeader & Compared)[] = [];
  for (const ref of refs) {
    if (ref === SELF) continue;
    const header = await headerOf(run, ref, student);
    headers.push({ ...header, ...(await reading.compare(run, header, student)) });
  }
  const outputs = headers.reduce((least, header) => Math.min(least, header.outputs), student.sizes.outputs);
  const checkpoints = headers.map(({ checkpoint }) => checkpoint);
  const silent: Refusal | undefined = isBase(refs[0])
    ? ["the base under an adapter does not sample", "name it: --teacher MODEL"]
    : reading.silent;
  return {
    read: checkpoints.map((checkpoint) => ({ checkpoint, role: "teacher" })),
    refuses: silent ? { samples: silent } : {},
    checkLength(tokens, written) {
      // A teacher of another tokenizer cuts its own texts.
      const short = reading.silent ? undefined : headers.find(({ sizes }) => sizes.maxPositions < tokens);
      if (!short) return;
      const most = short.sizes.maxPositions;
      if (written)
        throw new UserError(
          `rows with samples may reach ${tokens} tokens, and the teacher ${short.ref} has ${most} positions`,
          `give --max-length ${most}, or fewer --sample-tokens`,
        );
      throw new UserError(
        `the longest row has ${tokens} tokens, and the teacher ${short.ref} has ${most} positions`,
        `give --max-length ${most}, or shorter rows`,
      );
    },
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
              ...(trains ? { dtype: "f32" } : { freeze: () => true, loadIn: options.teacher_load_in }),
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

/** Tokens of the longest row of a source; 0 where rows are numbers. */
export function longestRow(source: Pick<BatchSource<Batch>, "largest"> | { readonly data: SequenceData }): number {
  if ("data" in source) return source.data.sequences.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const largest = source.largest();
  if (isTokens(largest) || !("tokens" in largest)) return 0;
  const { width, tokens } = largest;
  return tokens.segments.reduce((most, segment, at) => (segment > 0 ? Math.max(most, (at % width) + 1) : most), 0);
}

/** Throws UserError where teachers, data or model give no samples. */
export function checkSamples(
  { teacher, student }: SampleShares,
  { refuses }: Pick<OpenTeachers, "refuses">,
  { pack, isText }: { readonly pack: boolean; readonly isText: boolean },
): void {
  if (teacher === 0 && student === 0) return;
  if (!isText) throw new UserError("a classifier samples nothing", "leave out --on-policy and --teacher-samples");
  if (pack) throw new UserError("--pack and samples do not go together", "leave out --pack");
  const refusal = (teacher > 0 && refuses.samples) || (student > 0 && refuses["own samples"]);
  if (refusal) throw new UserError(...refusal);
}
