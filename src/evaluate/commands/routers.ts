/** `evaluate routers`: how many layers routers run, and what becomes of the answers. */
import { open } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import { Model } from "../../model/model.ts";
import { type Answered, type AskedRow, askedRows, promptOf, WayScorer } from "../../run/depth/asked-rows.ts";
import { PromptRouter } from "../../run/depth/route-prompts.ts";
import { loadRouters, readRouters } from "../../run/depth/router-file.ts";
import { openModel } from "../../run/open-model.ts";
import { table } from "../../text/table.ts";
import type { ROUTERS } from "../options.ts";

type Times = readonly number[];
type RoutersContext = Context<typeof ROUTERS>;

const runs = (times: Times): number => times.reduce((sum, count) => sum + count, 0);

/** As many runs as a way has, of layers that are drawn: each once before one runs again. */
export function drawnWay(budget: number, layers: number, unit: () => number): number[] {
  const times = Array<number>(layers).fill(Math.floor(budget / layers));
  const rest = Array.from({ length: layers }, (_, layer) => layer);
  for (let left = budget % layers; left > 0; left--) times[rest.splice(Math.floor(unit() * rest.length), 1)[0]!]! += 1;
  return times;
}

/** What is told of ways: layers that run in the mean, of all rows and of each group, and how rows are answered. */
function told(
  rows: readonly AskedRow[],
  names: readonly string[],
  ways: readonly Times[],
  answers: readonly Answered[],
) {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const of = (has: (row: number) => boolean) => {
    const own = [...rows.keys()].filter(has);
    return {
      rows: own.length,
      layers: mean(own.map((row) => runs(ways[row]!))),
      accuracy: mean(own.map((row) => (answers[row]!.isRight ? 1 : 0))),
      loss: mean(own.map((row) => answers[row]!.loss)),
    };
  };
  const groups = names.map((name, group) => ({ name, ...of((row) => rows[row]!.sequence.group === group) }));
  return { ...of(() => true), groups };
}

export async function evaluateRouters(context: RoutersContext): Promise<Outcome> {
  const { options, signal, progress, seed } = context;
  const warn = (text: string) => context.warn(text);
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, warn);
  context.onExit(() => opened.checkpoint.close());
  const { tools, sizes } = opened;
  if (!tools) throw new UserError(`${ref} is a classifier; routers read prompts`, "give a language model");
  const parts = await open(options.routers, { warn });
  context.onExit(() => parts.close());
  const stored = await readRouters(parts, sizes);
  const groups = groupsOf(options.data, "--data", options.columns);
  const rows = await askedRows(groups, tools);
  if (context.dryRun) {
    context.print(`${rows.length} rows, ${options.dial.length} places of the dial`);
    context.json({ rows: rows.length, layers: sizes.layers });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  const routers = loadRouters(gpu, stored);
  const scorer = new WayScorer(model, tools.tokenizer?.pad ?? 0);
  const { batch_size: size } = options;
  progress.start({ total: rows.length * (1 + 2 * options.dial.length), unit: "readings of rows" });
  const scored = async (ways: readonly Times[]) => {
    const answers: Answered[] = [];
    for (let from = 0; from < rows.length; from += size) {
      signal.throwIfAborted();
      const part = rows.slice(from, from + size).map(({ sequence }) => sequence);
      answers.push(...(await scorer.score(part, ways.slice(from, from + size))));
      progress.advance(part.length);
    }
    return told(
      rows,
      groups.map(({ name }) => name),
      ways,
      answers,
    );
  };
  const whole = await scored(rows.map(() => Array<number>(sizes.layers).fill(1)));
  const found = [];
  for (const dial of options.dial) {
    const router = new PromptRouter(model, routers, dial);
    const ways: Times[] = [];
    for (let from = 0; from < rows.length; from += size)
      ways.push(...(await router.route(rows.slice(from, from + size).map(({ sequence }) => promptOf(sequence)))));
    router.free();
    const drawn = ways.map((way, row) =>
      drawnWay(runs(way), sizes.layers, keyedUnits(seed, `layers of ${rows[row]!.sequence.place}`)),
    );
    found.push({ dial, routers: await scored(ways), random: await scored(drawn) });
  }
  progress.done();
  await scorer.free();
  routers.free();
  model.free();
  tell(context, sizes.layers, whole, found);
  return {};
}

type Told = ReturnType<typeof told>;

function tell(
  context: RoutersContext,
  layers: number,
  whole: Told,
  found: readonly { readonly dial: number; readonly routers: Told; readonly random: Told }[],
): void {
  const several = whole.groups.length > 1 ? whole.groups.map(({ name }) => name) : [];
  const cells = ({ layers: run, accuracy, loss, groups }: Told) => [
    ...[run, accuracy, loss].map((value) => value.toFixed(3)),
    ...groups.slice(0, several.length).map((group) => `${group.layers.toFixed(2)}, ${group.accuracy.toFixed(3)}`),
  ];
  context.print(
    table([
      ["layers by", "run", "accuracy", "loss", ...several.map((name) => `${name}: run, accuracy`)],
      ["nothing: all of them", ...cells(whole)],
      ...found.flatMap(({ dial, routers, random }) => [
        [`routers, dial ${dial}`, ...cells(routers)],
        ["chance, as many", ...cells(random)],
      ]),
    ]),
  );
  context.json({ layers, whole, dials: found });
}
