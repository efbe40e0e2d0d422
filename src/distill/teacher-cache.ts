/** The capability of a loss that makes do with a teacher's most likely tokens, which `distill cache` wrote down. */
import { UserError } from "../errors.ts";
import type { Options } from "../method/options.ts";
import { cachedTeacher } from "../run/teachers/teacher.ts";
import { TeacherCache } from "../run/teachers/teacher-cache.ts";
import type { DistillCapability } from "./capability.ts";

const OPTIONS = {
  cache: { type: "string", help: "teacher's top k from `distill cache`, instead of --teacher", value: "FILE" },
} as const satisfies Options;

const SAMPLES = ["a cached teacher cannot answer samples", "give --teacher, or leave out --on-policy"] as const;

export const teacherCache: DistillCapability<typeof OPTIONS> = {
  name: "teacher-cache",
  options: OPTIONS,
  instead: "--cache FILE",
  begin({ cache: file }, { named }) {
    if (file === undefined) return undefined;
    if (named.length > 0) throw new UserError("both --teacher and --cache say what to learn from", "give one of them");
    return {
      async openTeachers(run, { tools, sizes, ref }) {
        if (!tools) throw new UserError("a cache is for language models", "give --teacher");
        const cache = await TeacherCache.open(file);
        run.onExit(() => cache.close());
        cache.checkVocabulary({ ref, sizes });
        const teacher = cachedTeacher(cache);
        return {
          read: [{ checkpoint: cache.checkpoint, role: "cache" }],
          refuses: {
            pack: ["--pack with --cache: rows are looked up whole", "leave out --pack"],
            "own samples": SAMPLES,
            samples: SAMPLES,
          },
          check: (sequences) => cache.check(sequences),
          prepare: (batch) => teacher.prepare!(batch),
          load: async () => ({ teachers: [teacher], models: [], checkpoints: [], outputs: sizes.outputs }),
        };
      },
    };
  },
};
