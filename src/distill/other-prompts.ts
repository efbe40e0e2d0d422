/**
 * Override: of rows that say so teachers read another prompt than the student, behind which the same answer stands, so
 * that the student comes to answer the one as the teacher answers the other. With the student's own answers and the
 * model as it was for a teacher (--teacher self --on-policy 1) it forgets without any data beside prompts: the
 * decoder's form of "Score Forgetting Distillation", ICLR 2025, https://arxiv.org/abs/2409.11219
 */
import { collate, type TokenBatch } from "../data/batch.ts";
import { groupsOf } from "../data/groups.ts";
import { readRows } from "../data/read-rows.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import { promptOf } from "../run/generating/answers.ts";
import type { Opened } from "../run/training/technique.ts";
import { prefixedTeacher } from "./prefixed.ts";
import type { DistillRun } from "./run.ts";
import type { OtherTokens } from "./same-places.ts";
import type { OpenTeachers } from "./teachers.ts";

/** Prompts that teachers read, by the places of rows. */
export type OtherPrompts = ReadonlyMap<string, Int32Array>;

/**
 * Gives the documents of batches behind those prompts, a row for each; of other rows as they are. `promptTokens`: what
 * is taken for the prompt of a row that counts from its start.
 */
export function behindOthers(
  prompts: OtherPrompts,
  { promptTokens, pad = 0 }: { readonly promptTokens: number; readonly pad?: number | undefined },
): (batch: TokenBatch) => OtherTokens {
  return (batch) => {
    const read = batch.documents.map(({ sequence }) => {
      const { length } = promptOf(sequence, promptTokens);
      const prompt = prompts.get(sequence.place) ?? sequence.ids.subarray(0, length);
      const ids = Int32Array.of(...prompt, ...sequence.ids.subarray(length));
      const text: Sequence = { ...sequence, ids, labels: ids };
      return { text, from: length, to: prompt.length };
    });
    const seen = collate(
      read.map(({ text }) => [text]),
      { pad },
    );
    const places = new Int32Array(batch.rows * batch.length).fill(-1);
    for (const [i, { sequence, row, start }] of batch.documents.entries()) {
      const { from, to } = read[i]!;
      // The last token of either prompt foretells the first of the answer.
      for (let t = from - 1; t < sequence.ids.length; t++)
        places[row * batch.length + start + t] = i * seen.length + to + t - from;
    }
    return { batch: seen, places, targets: targetsOf(batch) };
  };
}

/** Reads the rows of --data once more for the prompts in `key`. Throws UserError where none has one. */
async function readPrompts(
  { options }: Pick<DistillRun, "options">,
  key: string,
  { tools }: Opened,
): Promise<OtherPrompts> {
  const found = new Map<string, Int32Array>();
  for (const group of groupsOf(options.data, "--data", options.columns)) {
    if (group.path === "-")
      throw new UserError(
        `rows from stdin cannot be read twice, as --teacher-prompts asks for`,
        "write them to a file",
      );
    for await (const { row, place } of readRows(group)) {
      const other = row.extra[key];
      if (other === undefined) continue;
      if (typeof other !== "string" || (row.form !== "completion" && row.form !== "prompt"))
        throw new UserError(
          `${place}: ${key} should be a prompt beside the row's own`,
          "give rows of prompt, with an answer or without, and a text in that field",
        );
      const whole = { ...row, form: "prompt" as const, prompt: other };
      const [sequence] = encodeRow({ row: whole, place }, { ...tools!.encode, prompts: true, group: 0 });
      found.set(place, promptOf(sequence!, options.prompt_tokens));
    }
  }
  if (found.size > 0) return found;
  throw new UserError(`no row of --data has ${key}, which --teacher-prompts names`, "add it to the rows to override");
}

/** Teachers that read the prompts in a field of the rows. Throws UserError for a student without tokens of its own. */
export async function behindPrompts(
  opened: OpenTeachers,
  key: string,
  run: DistillRun,
  student: Opened,
): Promise<OpenTeachers> {
  const { tools, ref } = student;
  if (!tools) throw new UserError(`--teacher-prompts is for language models, and ${ref} is none`, "leave it out");
  const prompts = await readPrompts(run, key, student);
  const longest = Math.max(...[...prompts.values()].map(({ length }) => length));
  const read = behindOthers(prompts, { promptTokens: run.options.prompt_tokens, pad: tools.tokenizer?.pad });
  return {
    ...opened,
    checkLength: (tokens) => opened.checkLength?.(tokens + longest),
    async load(setup) {
      const loaded = await opened.load(setup);
      return { ...loaded, teachers: loaded.teachers.map((teacher, k) => prefixedTeacher(teacher, read, k)) };
    },
  };
}
