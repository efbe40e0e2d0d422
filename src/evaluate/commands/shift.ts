/** `evaluate shift`: models on rows of the domain that they learnt, of others, made worse, and behind examples. */
import { open } from "../../checkpoint/open.ts";
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { checkApply } from "../../data/corrupting/apply.ts";
import { groupsOf } from "../../data/groups.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { type LoadedModel, ModelLoader } from "../../run/measuring/loaded-model.ts";
import { prepare } from "../../run/measuring/model-checks.ts";
import type { Reader } from "../../run/scoring/read-rows.ts";
import { rightTokens, type ScoredRow, tokens } from "../../run/scoring/scored-row.ts";
import { table } from "../../text/table.ts";
import { areaOf, robustnessOf, type Share, shareOf } from "../shift/measures.ts";
import type { SHIFT } from "../shift/options.ts";
import { behindExamples, type Domain, dataOf, readDomain, worseRows } from "../shift/rows.ts";

type Context = CommandContext<typeof SHIFT>;

/** A set of rows that every model is asked, by what it tells of. */
interface Cell {
  readonly kind: "domain" | "worse" | "shots";
  /** Of a domain, or a corruption. */
  readonly name: string;
  /** Severity, or examples. */
  readonly amount: number;
  /** Domain of the examples. */
  readonly from?: string;
  readonly rows: readonly LocatedRow[];
}

const SEVERITIES = [0, 1, 2, 3, 4, 5];
const isRight = (row: ScoredRow): boolean => tokens(row) > 0 && rightTokens(row) === tokens(row);

/** All that every model is asked. Throws UserError for corruptions that do not go with the rows. */
function cellsOf(context: Context, learnt: Domain, shifted: readonly Domain[]): Cell[] {
  const { options, picks, seed } = context;
  const { range, shape, mask, separator, shots } = options;
  const domains = [learnt, ...shifted];
  const worse = picks.corruption.flatMap(({ method }) =>
    SEVERITIES.map(
      (severity): Cell => ({
        ...{ kind: "worse", name: method.name, amount: severity },
        rows: worseRows(learnt.rows, { method, severity, range, shape, mask, seed }),
      }),
    ),
  );
  const isAsked = domains.every(({ rows }) => rows.every(({ row }) => row.form === "completion"));
  const behind = domains.flatMap(({ name, rows }) =>
    [...new Set([learnt.name, name])].flatMap((from) =>
      shots.map((count): Cell => {
        const bank = domains.find((domain) => domain.name === from)!.rows;
        return {
          kind: "shots",
          name,
          amount: count,
          from,
          rows: behindExamples(rows, bank, { count, separator, seed }),
        };
      }),
    ),
  );
  return [
    ...domains.map(({ name, rows }): Cell => ({ kind: "domain", name, amount: 0, rows })),
    ...worse,
    ...(isAsked ? behind : []),
  ];
}

/** What a model has right of every cell. */
async function sharesOf(
  loaded: LoadedModel,
  reader: Reader,
  cells: readonly Cell[],
  { options, seed }: Context,
): Promise<Share[]> {
  const shares: Share[] = [];
  for (const { rows } of cells) {
    const scored = await loaded.score([], { data: dataOf(reader, rows) });
    shares.push(shareOf(scored.map(isRight), { draws: options.bootstrap, seed }));
  }
  return shares;
}

/** The findings of a model, for machines. */
function found(model: string, cells: readonly Cell[], shares: readonly Share[]) {
  const of = (kind: Cell["kind"]) =>
    cells.flatMap((cell, i) => (cell.kind === kind ? [{ cell, share: shares[i]! }] : []));
  const corruptions = Map.groupBy(of("worse"), ({ cell }) => cell.name);
  return {
    model,
    domains: of("domain").map(({ cell, share }) => ({ domain: cell.name, ...share })),
    worse: [...corruptions].map(([corruption, list]) => {
      const curve = list.map(({ share }) => share.accuracy);
      return { corruption, curve, intervals: list.map(({ share }) => share.interval), area: areaOf(curve) };
    }),
    shots: of("shots").map(({ cell, share }) => ({ domain: cell.name, from: cell.from, shots: cell.amount, ...share })),
  };
}

type Found = ReturnType<typeof found> & { robustness?: { domain: string; foretold: number; effective: number }[] };

const percent = (value: number): string => (100 * value).toFixed(1);
const within = ({ accuracy, interval: [low, high] }: Share): string =>
  `${percent(accuracy)} (${percent(low)}-${percent(high)})`;

/** Tables for people, one a question. */
function tablesOf(rows: readonly Found[]): string[] {
  const [first] = rows;
  if (!first) return [];
  const robust = rows.some(({ robustness }) => robustness);
  const domains = table([
    [
      "model",
      ...first.domains.map(({ domain }) => domain),
      ...(robust ? first.domains.slice(1).map(({ domain }) => `${domain} beyond the line`) : []),
    ],
    ...rows.map((row) => [
      row.model,
      ...row.domains.map(within),
      ...(row.robustness ?? []).map(({ effective }) => percent(effective)),
    ]),
  ]);
  const worse = table([
    ["model", "corruption", ...SEVERITIES.map(String), "area"],
    ...rows.flatMap((row) =>
      row.worse.map(({ corruption, curve, area }) => [row.model, corruption, ...curve.map(percent), percent(area)]),
    ),
  ]);
  const counts = [...new Set(first.shots.map(({ shots }) => shots))];
  const shots = table([
    ["model", "rows of", "examples of", ...counts.map(String)],
    ...rows.flatMap((row) =>
      [...Map.groupBy(row.shots, ({ domain, from }) => `${domain}\n${from}`).values()].map((list) => [
        ...[row.model, list[0]!.domain, list[0]!.from ?? ""],
        ...list.map(({ accuracy }) => percent(accuracy)),
      ]),
    ),
  ]);
  return [domains, ...(first.worse.length > 0 ? [worse] : []), ...(first.shots.length > 0 ? [shots] : [])];
}

/** Runs the sub-command. */
export async function shift(context: Context): Promise<Outcome> {
  const { options, args, signal, progress, seed } = context;
  checkApply(options);
  const refs = args.length > 0 ? args : ["-"];
  const learnt = groupsOf(options.data, "--data", options.columns);
  if (learnt.length > 1)
    throw new UserError("--data is of one domain, and there are several", "name the others with --shifted");
  const others = options.shifted ? groupsOf(options.shifted, "--shifted", options.columns) : [];
  const names = [...learnt, ...others].map(({ name }) => name);
  if (new Set(names).size < names.length)
    throw new UserError(
      `two domains are called ${names.find((name, i) => names.indexOf(name) < i)}`,
      "name them: --shifted name=FILE",
    );
  const domains = [];
  for (const group of [...learnt, ...others]) domains.push(await readDomain(group));
  const cells = cellsOf(context, domains[0]!, domains.slice(1));
  const total = cells.reduce((sum, { rows }) => sum + rows.length, 0);
  if (context.dryRun) {
    if (options.json) context.json({ models: refs, domains: names, rows: total });
    else context.print(`${total} rows of ${cells.length} kinds for each of ${refs.length} models`);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const metrics = [bindDefaults(await loadMethod("metric", "accuracy"))];
  const warn = (text: string) => context.warn(text);
  const held = { ...options, max_tokens: 1 };
  const loader = new ModelLoader({ gpu, metrics, options: held, signal, progress, warn });
  progress.start({ total: total * refs.length, unit: "rows" });
  const rows: Found[] = [];
  const shares: Share[][] = [];
  for (const ref of refs) {
    const checkpoint = await open(ref, { warn });
    context.onExit(() => checkpoint.close());
    const reader = await prepare(checkpoint, metrics, held, warn);
    const loaded = await loader.load(checkpoint, { reader });
    try {
      shares.push(await sharesOf(loaded, reader, cells, context));
    } finally {
      await loaded.free();
    }
    rows.push(found(ref, cells, shares.at(-1)!));
  }
  progress.done();
  const pools = domains.slice(1).map(({ name }, d) => ({
    name,
    pool: robustnessOf(
      shares.map((own) => own[0]!),
      shares.map((own) => own[d + 1]!),
    ),
  }));
  for (const [m, row] of rows.entries()) {
    const own = pools.flatMap(({ name, pool }) => (pool ? [{ domain: name, ...pool[m]! }] : []));
    if (own.length > 0) row.robustness = own;
  }
  context.print(tablesOf(rows).join("\n\n"));
  context.json({ seed, rows });
  return {};
}
