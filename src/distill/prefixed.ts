/**
 * Context distillation: the teacher reads every row behind a text that the student does not see, so that the student
 * comes to answer as if it had read it. Askell et al. 2021, https://arxiv.org/abs/2112.00861
 */
import { batchKey, collate, type TokenBatch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import { fillInputs, recordInputs } from "../run/batch-programs.ts";
import type { Teacher } from "../run/teachers/teacher.ts";
import type { Opened } from "../run/training/technique.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { readOnce } from "./read-once.ts";
import type { OtherTokens } from "./same-places.ts";
import type { OpenTeachers } from "./teachers.ts";

/** Tokens that stand before a row, after the token with which it begins if that is `bos`. */
export interface Prefix {
  readonly ids: Int32Array;
  readonly bos?: number | undefined;
  readonly pad?: number | undefined;
}

/** Gives the documents of batches behind the prefix, a row for each, with where the student's positions are in them. */
export function prefixedTokens({ ids: prefix, bos, pad = 0 }: Prefix): (batch: TokenBatch) => OtherTokens {
  const behind = (sequence: Sequence): Sequence => {
    const first = bos !== undefined && sequence.ids[0] === bos ? 1 : 0;
    const { ids } = sequence;
    const whole = Int32Array.of(...ids.subarray(0, first), ...prefix, ...ids.subarray(first));
    return { ...sequence, ids: whole, labels: whole };
  };
  return (batch) => {
    const seen = collate(
      batch.documents.map(({ sequence }) => [behind(sequence)]),
      { pad },
    );
    const places = new Int32Array(batch.rows * batch.length).fill(-1);
    for (const [i, { sequence, row, start }] of batch.documents.entries())
      for (let t = 0; t < sequence.ids.length; t++)
        places[row * batch.length + start + t] = i * seen.length + prefix.length + t;
    return { batch: seen, places, targets: targetsOf(batch) };
  };
}

/** A teacher that reads the rows of `read`. `number` tells it from other teachers. */
export function prefixedTeacher(teacher: Teacher, read: ReturnType<typeof prefixedTokens>, number: number): Teacher {
  const name = `teacher.${number}.`;
  const of = readOnce(read);
  return {
    ...teacher,
    key: (batch) => batchKey(of(batch).batch),
    record(rec, _, batch) {
      const other = of(batch);
      const { along, logits, student } = teacher.record(rec, recordInputs(rec, other.batch, name), other.batch);
      const places = rec.input(`${name}places`, [batch.rows * batch.length], "i32");
      return { along: along.map((x) => embedding(rec, places, x)), logits, student };
    },
    fill(program, batch) {
      const other = of(batch);
      fillInputs(program, other.batch, name);
      program.write(`${name}places`, other.places);
    },
  };
}

/** Teachers that read `text` before every row. Throws UserError for a student without tokens of its own. */
export function behindText(opened: OpenTeachers, text: string, { tools, ref }: Opened): OpenTeachers {
  const tokenizer = tools?.tokenizer;
  if (!tokenizer)
    throw new UserError(
      `${ref} has no tokenizer, and --teacher-prefix is a text`,
      tools ? "add its tokenizer.json, or give --tokenizer" : "leave it out: it is for language models",
    );
  const ids = tokenizer.encode(text);
  if (ids.length === 0) throw new UserError("--teacher-prefix has no tokens", "leave it out");
  const read = prefixedTokens({ ids, bos: tokenizer.bos, pad: tokenizer.pad });
  return {
    ...opened,
    refuses: {
      ...opened.refuses,
      samples: ["the teacher's samples are written without --teacher-prefix", "give --on-policy, or leave one out"],
    },
    checkLength: (tokens, written) => opened.checkLength?.(tokens + ids.length, written),
    async load(setup) {
      const loaded = await opened.load(setup);
      return { ...loaded, teachers: loaded.teachers.map((teacher, k) => prefixedTeacher(teacher, read, k)) };
    },
  };
}
