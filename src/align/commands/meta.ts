/** `align meta`: finds how small learners learn by evolution strategies, and measures it on lifetimes it never saw. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { checkFile, saveNetworks } from "../../run/small-nets/file.ts";
import type { Form } from "../meta/form.ts";
import { driftForm } from "../meta/forms/drift.ts";
import { objectiveForm } from "../meta/forms/objective.ts";
import { scheduleForm } from "../meta/forms/schedule.ts";
import { best, type Measured, measure } from "../meta/measure.ts";
import type { META } from "../meta/options.ts";
import { type Search, search } from "../meta/search.ts";

type MetaContext = Context<typeof META>;

function searchOf({ options, seed }: MetaContext): Search {
  const { lengths, hidden, generations, pairs, lives, sigma, es_lr, sees, form } = options;
  const [low = 0, high = 0] = lengths;
  if (lengths.length !== 2 || low < 1 || high < low)
    throw new UserError(`--lengths ${lengths.join(",")} are no lengths`, "give two, the shortest first: 200,2000");
  if (hidden.some((units) => units < 1) || options.test_lengths.some((length) => length < 1))
    throw new UserError("--hidden and --test-lengths take whole numbers from 1 on", "leave them out");
  const [units] = hidden;
  if (form !== "schedule" && (hidden.length !== 1 || units === undefined))
    throw new UserError(`--form ${form} has one hidden layer`, "give its units to --hidden: 16");
  const range = [low, high] as const;
  const made = (): Form => {
    if (form === "schedule") return scheduleForm(options, hidden, range, sees === "time");
    return (form === "drift" ? driftForm : objectiveForm)(options, units!, range, sees === "time");
  };
  return { form: made(), lengths: range, generations, pairs, lives, sigma, lr: es_lr, seed };
}

/** What a schedule multiplies by, at shares of lifetimes. */
function shown({ multipliers }: Form, weights: Float64Array, lengths: readonly number[]) {
  if (!multipliers) return undefined;
  const by = multipliers(weights);
  const progress = [0, 0.25, 0.5, 0.75, 1];
  return lengths.map((length) => ({
    ...{ length, progress, rate: progress.map((share) => by(share, length)[0]) },
    entropy: progress.map((share) => by(share, length)[1]),
  }));
}

export async function meta(context: MetaContext): Promise<Outcome> {
  const { options, out, progress, signal, seed, version } = context;
  const given = searchOf(context);
  const { form, generations } = given;
  if (context.dryRun) {
    const lived = 2 * given.pairs * given.lives * generations;
    context.json({ lifetimes: lived });
    context.print(`${lived} lifetimes`);
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  progress.start({ total: generations, unit: "generations" });
  const weights = form.first(seed);
  const test = { lengths: options.test_lengths, lives: options.test_lives };
  const own = (length: number, key: number) => form.live(weights, length, key);
  const first = measure(own, test);
  let generation = 0;
  for await (const mean of search(given, weights)) {
    context.log.event("generation", { step: ++generation, return: mean });
    progress.advance(1);
    await Bun.sleep(0); // lets Ctrl-C through
    signal.throwIfAborted();
  }
  progress.done();
  const searched = measure(own, test);
  const [base, constant] = [measure(form.base.live, test), best(form, test)];
  const multipliers = shown(form, weights, test.lengths);
  const step = { script: "align meta", version, options: context.chosen, seed };
  const lineage = lineageOf(step, [], (text) => context.warn(text));
  await saveNetworks(out, form.tensors(weights), lineage);
  const told = { form: options.form, world: options.world, searched, first, base: { name: form.base.name, ...base } };
  context.json({ ...told, constant, ...(multipliers ? { multipliers } : {}), out });
  const line = (name: string, { mean, error }: Measured) =>
    `${name.padEnd(9)} ${mean.toFixed(4)} +- ${error.toFixed(4)}`;
  const many = (values: readonly number[]) => values.map((x) => x.toPrecision(2)).join(" ");
  if (!options.json)
    context.print(
      [
        line("searched", searched),
        line("at first", first),
        `${line("base", base)}, ${form.base.name}`,
        `${line("constant", constant)}, best of a grid: ${constant.name}`,
        ...(multipliers ?? []).map(
          ({ length, rate, entropy }) => `T ${length}: rate x ${many(rate)}; entropy x ${many(entropy)}`,
        ),
      ].join("\n"),
    );
  return { output: out };
}
