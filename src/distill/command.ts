/** What the `distill` script does: a student learns in the training loop what teachers say. */
import type { Context, Outcome } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { bind } from "../method/bind.ts";
import { checkPgd } from "../run/adversarial/options.ts";
import { readBatches } from "../run/training/batch-source.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { Opened } from "../run/training/technique.ts";
import { chooseRoles } from "./choices.ts";
import { checkNumbers, checkOutputs } from "./numbers.ts";
import type { DISTILL } from "./options.ts";
import { longestSampled, type SampleShares } from "./sampled.ts";
import { checkSamples, longestRow } from "./teachers.ts";
import { type DistillData, openTeachers, setUpTraining } from "./training.ts";

export async function distill(context: Context<typeof DISTILL, "distill">): Promise<Outcome> {
  const { options } = context;
  const loss = context.picks.loss[0]!;
  if (options.target === "data")
    throw new UserError("--target data is read before all else, so not from a file", "type it: bun run distill data");
  if (options.adversarial) checkPgd(options);
  const choices = await chooseRoles(context, context.args, bind(context.method!, context.settings));
  return runTraining<Batch, DistillData>(context, {
    script: "distill",
    method: choices.chosen.method.name,
    model: choices.student,
    role: "student",
    regresses: true,
    async data(opened) {
      await checkOutputs(choices.chosen.method, opened.task);
      if (opened.task === "regressor") checkNumbers(choices.weights, loss, options);
      const teachers = await openTeachers(context, choices, opened);
      const { pack } = teachers.refuses;
      if (options.pack && pack) throw new UserError(...pack);
      const own = choices.parts.find(({ batches }) => batches);
      if (own && (options.pack || !opened.tools))
        throw new UserError(
          `${choices.chosen.method.name} makes batches of texts, a row for each`,
          options.pack ? "leave out --pack" : "it is for language models",
        );
      const shares = own?.answers ? { teacher: 1, student: 1 } : choices.shares;
      checkSamples(shares, teachers, {
        pack: options.pack,
        isText: opened.tools !== undefined,
      });
      const source = await readBatches(options, withPrompts(opened, choices.shares));
      if ("data" in source) teachers.check?.(source.data.sequences);
      teachers.checkLength?.(longestRow(source));
      if (shares.teacher + shares.student > 0 && "data" in source && opened.tools)
        teachers.checkLength?.(
          longestSampled(source.data.sequences, { options: choices.samples, tools: opened.tools }),
          "written",
        );
      return { source, teachers };
    },
    work: (built, data) => setUpTraining(context, choices, { loss, rules: context.picks.gradient_rule }, data, built),
    read: ({ teachers }) => teachers.read,
  });
}

/** Reads prompts without answers, where all answers are sampled. */
const withPrompts = (opened: Opened, { teacher, student }: SampleShares): Opened =>
  opened.tools && (teacher === 1 || student === 1)
    ? { ...opened, tools: { ...opened.tools, encode: { ...opened.tools.encode, prompts: true } } }
    : opened;
