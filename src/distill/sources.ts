/**
 * The capability of a loss over several sources of which each row takes some: models, and caches of models that may
 * have another tokenizer. Of every source it says how well it predicts each sequence.
 */
import { type Batch, isTokens } from "../data/batch.ts";
import { targetsOf } from "../data/targets.ts";
import { UserError } from "../errors.ts";
import type { Options } from "../method/options.ts";
import { cachedTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { TeacherCache } from "../run/teachers/teacher-cache.ts";
import { exp, mul, neg } from "../tensor/ops/elementwise.ts";
import { headLoss } from "../tensor/ops/head-loss.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import type { DistillCapability } from "./capability.ts";
import { type OpenTeachers, openNamed } from "./teachers.ts";
import { sameVocabulary } from "./vocabulary.ts";

const OPTIONS = {
  cached: {
    type: "string[]",
    help: "source that distill cache wrote down, of any tokenizer with --align; several with one each",
    value: "FILE",
  },
} as const satisfies Options;

const MOST = 8;

/** A teacher that runs, whose reward is exp(-its mean cross-entropy on a sequence's labels). */
export function rewarded(teacher: Teacher, number: number): Teacher {
  const [next, share] = [`source.${number}.next`, `source.${number}.share`];
  return {
    ...teacher,
    record(rec, inputs, batch, change) {
      const heard = teacher.record(rec, inputs, batch, change);
      const { outputs } = heard;
      if (!outputs) throw new Error("a source runs beside the student");
      const targets = rec.input(next, [batch.rows * batch.length], "i32");
      const width = teacher.sizes!.outputs;
      const losses = headLoss(rec, { hidden: outputs.hidden, head: outputs.head, width, targets });
      const sums = rowSum(rec, rec.reshape(losses, [batch.rows, batch.length]));
      return { ...heard, reward: exp(rec, neg(rec, mul(rec, sums, rec.input(share, [batch.rows])))) };
    },
    fill(program, batch) {
      teacher.fill?.(program, batch);
      if (!isTokens(batch)) throw new Error("a batch of examples has no sequences");
      const targets = targetsOf(batch);
      program.write(next, targets);
      program.write(
        share,
        Float32Array.from({ length: batch.rows }, (_, row) => {
          const own = targets.subarray(row * batch.length, (row + 1) * batch.length);
          return 1 / Math.max(1, own.filter((target) => target >= 0).length);
        }),
      );
    },
  };
}

/** A source that was written down, with the cross-entropies that it had. */
export function cachedSource(cache: TeacherCache, number: number): Teacher {
  const name = `source.${number}.reward`;
  const teacher = cachedTeacher(cache, `source.${number}`);
  return {
    ...teacher,
    record(rec, inputs, batch, change) {
      return { ...teacher.record(rec, inputs, batch, change), reward: rec.input(name, [batch.rows]) };
    },
    fill(program, batch) {
      teacher.fill!(program, batch);
      if (!isTokens(batch)) throw new Error("a batch of examples has no sequences");
      const rewards = new Float32Array(batch.rows);
      for (const { sequence, row } of batch.documents) rewards[row] = Math.exp(-cache.lossOf(sequence));
      program.write(name, rewards);
    },
  };
}

const NONE: OpenTeachers = {
  read: [],
  refuses: {},
  load: async ({ model }) => ({ teachers: [], models: [], checkpoints: [], outputs: model.sizes.outputs }),
};

export const sources: DistillCapability<typeof OPTIONS> = {
  name: "sources",
  options: OPTIONS,
  instead: "--cached FILE",
  begin({ cached = [] }, { method, named }) {
    const count = cached.length + named.length;
    if (count === 0) throw new UserError("no teacher was named", "give --teacher MODEL, or --cached FILE");
    if (count > MOST) throw new UserError(`${method} takes up to ${MOST} sources, got ${count}`, "leave some out");
    return {
      async openTeachers(run, student) {
        if (!student.tools) throw new UserError(`${method} is for language models`, "take another --method");
        const reading = sameVocabulary(false);
        const live = named.length > 0 ? await openNamed(run, student, { refs: named, reading, trains: false }) : NONE;
        const caches: TeacherCache[] = [];
        for (const file of cached) {
          const cache = await TeacherCache.open(file);
          run.onExit(() => cache.close());
          cache.checkVocabulary(student);
          cache.checkLosses();
          caches.push(cache);
        }
        const files = caches.map((cache, k) => cachedSource(cache, named.length + k));
        const silent = [
          "a cached source cannot answer samples",
          "leave out --on-policy and --teacher-samples",
        ] as const;
        return {
          read: [...live.read, ...caches.map(({ checkpoint }) => ({ checkpoint, role: "cache" }))],
          refuses: {
            ...live.refuses,
            pack: ["sources are weighed for whole rows", "leave out --pack"],
            ...(caches.length > 0 ? { samples: silent, "own samples": silent } : {}),
          },
          check(sequences) {
            live.check?.(sequences);
            for (const cache of caches) cache.check(sequences);
          },
          checkLength: (tokens) => live.checkLength?.(tokens),
          async load(setup) {
            const loaded = await live.load(setup);
            return { ...loaded, teachers: [...loaded.teachers.map(rewarded), ...files] };
          },
          ...(files.length > 0 ? { prepare: preparing(files) } : {}),
        };
      },
    };
  },
};

/** Reads what caches say of a batch. */
const preparing =
  (files: readonly Teacher[]) =>
  async (batch: Batch): Promise<void> => {
    for (const file of files) await file.prepare?.(batch);
  };
