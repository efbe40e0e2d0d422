/** `align meta`: finds a schedule by evolution strategies, and measures it on lifetimes it never saw; needs no GPU. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { checkFile, saveNetworks } from "../control/save.ts";
import { best, type Measured, measure } from "../meta/measure.ts";
import type { META } from "../meta/options.ts";
import { firstSchedule, multipliersOf, type Search, search } from "../meta/search.ts";

type MetaContext = Context<typeof META>;

function searchOf({ options, seed }: MetaContext): Search {
  const { arms, noise, lr, entropy, lengths, hidden, generations, pairs, lives, sigma, es_lr, sees } = options;
  const [low = 0, high = 0] = lengths;
  if (lengths.length !== 2 || low < 1 || high < low)
    throw new UserError(`--lengths ${lengths.join(",")} are no lengths`, "give two, the shortest first: 200,2000");
  if (hidden.some((units) => units < 1) || options.test_lengths.some((length) => length < 1))
    throw new UserError("--hidden and --test-lengths take whole numbers from 1 on", "leave them out");
  return {
    ...{ learner: { arms, noise, lr, entropy }, lengths: [low, high], hidden, generations, pairs, lives, sigma },
    ...{ lr: es_lr, sees: sees === "time", seed },
  };
}

export async function meta(context: MetaContext): Promise<Outcome> {
  const { options, out, progress, signal, seed, version } = context;
  const given = searchOf(context);
  if (context.dryRun) {
    const lived = 2 * given.pairs * given.lives * given.generations;
    context.json({ lifetimes: lived });
    context.print(`${lived} lifetimes`);
    return {};
  }
  checkFile(out);
  await tryTarget(out);
  progress.start({ total: given.generations, unit: "generations" });
  let net = firstSchedule(given);
  let generation = 0;
  for (const found of search(given)) {
    net = found.net;
    context.log.event("generation", { step: ++generation, return: found.mean });
    progress.advance(1);
    await Bun.sleep(0); // lets Ctrl-C through
    signal.throwIfAborted();
  }
  progress.done();
  const test = { lengths: options.test_lengths, lives: options.test_lives };
  const multipliers = multipliersOf(net, given);
  const base = measure(given.learner, () => [1, 1], test);
  const schedule = measure(given.learner, multipliers, test);
  const constant = best(given.learner, test);
  const shares = [0, 0.25, 0.5, 0.75, 1];
  const shown = test.lengths.map((length) => ({
    length,
    ...{ progress: shares, rate: shares.map((share) => multipliers(share, length)[0]) },
    entropy: shares.map((share) => multipliers(share, length)[1]),
  }));
  const step = { script: "align meta", version, options: context.chosen, seed };
  await saveNetworks(
    out,
    net.tensors("schedule"),
    lineageOf(step, [], (text) => context.warn(text)),
  );
  context.json({ schedule, base, constant, multipliers: shown, out });
  const line = (name: string, { mean, error }: Measured) =>
    `${name.padEnd(9)} ${mean.toFixed(4)} +- ${error.toFixed(4)}`;
  const many = (values: readonly number[]) => values.map((x) => x.toPrecision(2)).join(" ");
  if (!options.json)
    context.print(
      [
        line("schedule", schedule),
        line("base", base),
        `${line("constant", constant)}, best of a grid: rate x ${constant.rate}, entropy x ${constant.entropy}`,
        ...shown.map(({ length, rate, entropy }) => `T ${length}: rate x ${many(rate)}; entropy x ${many(entropy)}`),
      ].join("\n"),
    );
  return { output: out };
}
