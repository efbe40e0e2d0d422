/** `evaluate benchmark`: the table of a benchmark of unlearning, from its own files. */
import fs from "node:fs";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { open } from "../../checkpoint/open.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { liveAdapters } from "../../run/open-model.ts";
import { once } from "../../text/once.ts";
import { table } from "../../text/table.ts";
import type { Benchmark } from "../benchmarks/contract.ts";
import { groupsIn, rowsOfFile } from "../benchmarks/files.ts";
import { type GoldLog, readGoldLog } from "../benchmarks/gold-log.ts";
import { KeptNumbers } from "../benchmarks/kept.ts";
import { muse } from "../benchmarks/muse.ts";
import type { BENCHMARK } from "../benchmarks/options.ts";
import { type Measured, measureAll } from "../benchmarks/run.ts";
import { rwku } from "../benchmarks/rwku.ts";
import { tofu } from "../benchmarks/tofu.ts";
import { wmdp } from "../benchmarks/wmdp.ts";
import { cell } from "../technique.ts";

type BenchmarkContext = Context<typeof BENCHMARK>;

const SUITES: Readonly<Record<string, Benchmark>> = { tofu, muse, wmdp, rwku };

/** What a log says of a column. Truth ratios are at no distance from themselves. */
const logged = (benchmark: Benchmark, log: GoldLog): (number | undefined)[] =>
  benchmark.columns.map(({ metric, logged: name }) => {
    const own: Readonly<Record<string, number>> = {
      "forget-quality": 1,
      "forget-quality D": 0,
      "forget-quality n": log.ratios.length,
    };
    return own[metric] ?? (name === undefined ? undefined : log.value(name));
  });

/** A heading as machines name it: `forget_quality`. */
const keyOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replace(/_$/, "");

/** A number of a table: counts whole, very small ones by their power. */
const shown = (x: number | undefined): string =>
  x !== undefined && x !== 0 && Math.abs(x) < 1e-3
    ? x.toExponential(1)
    : x !== undefined && Number.isInteger(x)
      ? String(x)
      : cell(x);

/** Opens all models: the target, the others as they were given, and gold. */
async function opened({ args, options, onExit, warn }: BenchmarkContext): Promise<Measured[]> {
  const asked: readonly { readonly role: Measured["role"]; readonly ref: string | undefined }[] = [
    { role: "target", ref: options.target },
    ...args.map((ref) => ({ role: "model" as const, ref })),
    { role: "gold", ref: options.gold },
  ];
  const models: Measured[] = [];
  const close: Checkpoint[] = [];
  onExit(() => {
    for (const checkpoint of close) checkpoint.close();
  });
  for (const { role, ref } of asked) {
    if (ref === undefined) continue;
    const checkpoint = await open(ref, { live: liveAdapters({ ...options, load_in: options.load_in }), warn });
    close.push(checkpoint);
    models.push({ checkpoint, role });
  }
  return models;
}

/** Runs the sub-command. Throws UserError for a folder without the benchmark's files. */
export async function benchmarkTable(context: BenchmarkContext): Promise<Outcome> {
  const { options, signal, progress, version, info } = context;
  const benchmark = SUITES[options.suite]!;
  if (!fs.statSync(options.files, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`--files ${options.files} is no folder`, `give the folder of ${benchmark.title}'s own files`);
  if (options.gold !== undefined && options.gold_log !== undefined)
    throw new UserError("--gold and --gold-log are one and the same", "give one of them");
  if (context.args.length === 0 && options.target === undefined && options.gold === undefined)
    throw new UserError("no model is named", "name one or more checkpoints");
  const read = (name: string) => rowsOfFile(options.files, name);
  const passes = await benchmark.passes({ split: options.split, read });
  const groups = passes.flatMap((pass) => groupsIn(options.files, pass));
  if (groups.length === 0)
    throw new UserError(
      `--files ${options.files} has none of the files of ${benchmark.title}`,
      `it looks for ${[...new Set(passes.flatMap((pass) => pass.groups.map(({ files }) => files[0]!)))].join(", ")}`,
    );
  const log = options.gold_log === undefined ? undefined : readGoldLog(options.gold_log);
  const result = textResult(
    context,
    groups.map(({ path }) => path),
  );
  if (context.dryRun) {
    const plan = groups.map(({ name, path }) => ({ group: name, file: path }));
    return result(
      options.json ? JSON.stringify({ files: plan }) : plan.map(({ group, file }) => `${group}  ${file}`).join("\n"),
      {
        files: plan,
      },
    );
  }
  const warn = once((text: string) => context.warn(text));
  const models = await opened(context);
  const kept = options.cache === undefined ? undefined : new KeptNumbers(options.cache);
  const gpu = await openGpu({ device: context.device });
  progress.start({ unit: "rows" });
  const found = await measureAll({
    ...{ benchmark, passes, folder: options.files, models, log, kept, version, gpu, options, signal, progress, warn },
    info: once((text: string) => info(text)),
  });
  progress.done();
  const lines = models.map(({ checkpoint, role }, i) => ({ model: checkpoint.ref, role, values: found[i]! }));
  if (log) lines.push({ model: log.file, role: "gold", values: logged(benchmark, log) });
  const headings = benchmark.columns.map(({ heading }) => heading);
  const rows = lines.map(({ model, role, values }) => ({
    model,
    role,
    ...Object.fromEntries(headings.map((heading, c) => [keyOf(heading), values[c] ?? null])),
  }));
  const text = table(
    [
      ["", ...headings],
      ...lines.map(({ model, role, values }) => [
        role === "model" ? model : `${model} (${role})`,
        ...values.map(shown),
      ]),
    ],
    { align: `l${"r".repeat(headings.length)}` },
  );
  const about = { suite: options.suite, rows };
  return result(options.json && context.out === "-" ? JSON.stringify(about) : text, about);
}
