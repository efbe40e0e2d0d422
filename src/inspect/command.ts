/** What the `inspect` script does. Headers are read first; weights, and a GPU, only for what needs them. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodePlain, type OpenOptions, open, openPlain, splitAdapter } from "../checkpoint/open.ts";
import type { Outcome, PlainContext } from "../cli/context.ts";
import { screenWidth } from "../cli/screen.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { launcher } from "../launcher.ts";
import { impossibleValues } from "../model/config-values.ts";
import { readConfig } from "../model/names.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { humanBytes } from "../text/format.ts";
import { checkHeaders, checkValues, type Problem } from "./check.ts";
import { type Comparison, compare } from "./compare.ts";
import { differenceOf } from "./difference.ts";
import { nameFilter } from "./groups.ts";
import { indexOf, type Overview, overviewOf } from "./overview.ts";
import { comparisonText, lineageText, statisticsTable, summary, tensorTable } from "./report.ts";
import { rerun } from "./rerun.ts";
import { statisticsOf } from "./statistics.ts";
import { type ReadOptions, tallyTensors } from "./tensor-statistics.ts";

export interface InspectOptions {
  readonly stats?: boolean | undefined;
  readonly check?: boolean | undefined;
  readonly diff?: string | undefined;
  readonly command?: boolean | undefined;
  readonly tensors?: string | undefined;
}

type Context = PlainContext & { readonly options: InspectOptions };

/** An adapter alone is shown as it is; with its base written before it, applied. */
const openAny = (ref: string, context: Context): Promise<Checkpoint> =>
  openShown(ref, { warn: (text) => context.warn(text), undecoded: "list" });

async function openShown(ref: string, options: OpenOptions): Promise<Checkpoint> {
  if (splitAdapter(ref)) return open(ref, options);
  return decodePlain(await openPlain(ref, options), options);
}

/** Runs the script. */
export async function runInspect(context: Context): Promise<Outcome> {
  const { options } = context;
  refuseBesideCommand(options);
  const checkpoint = await openAny(context.args[0] ?? "-", context);
  context.onExit(() => checkpoint.close());
  if (options.command) return printCommand(context, checkpoint);

  const wanted = nameFilter(options.tensors);
  const chosen = [...checkpoint.tensors.values()].filter(({ name }) => wanted(name));
  if (chosen.length === 0 && options.tensors !== undefined) {
    const some = [...checkpoint.tensors.keys()].slice(0, 2).join(", ");
    throw new UserError(
      `no tensor of ${checkpoint.ref} matches ${options.tensors}`,
      some && `its names are like ${some}`,
    );
  }
  const index = await indexOf(checkpoint);
  const facts = overviewOf(checkpoint, chosen, index);
  const config = readConfig(checkpoint);
  if (config && !options.check) for (const line of impossibleValues(config, "config.json")) context.warn(line);
  const reads = options.stats || options.check;
  if (checkpoint.kind === "stream" && reads && options.diff !== undefined) {
    throw new UserError(
      `${checkpoint.ref} is a pipe and can be read only once, but --diff and --${options.stats ? "stats" : "check"} both read it`,
      "write it to a file first, or ask for one of them",
    );
  }
  if (context.dryRun) return printReads(context, facts.bytes, Boolean(reads || options.diff !== undefined));

  let opened: Promise<Gpu> | undefined;
  const gpu = () => {
    opened ??= import("../gpu/gpu.ts").then(({ openGpu }) => openGpu({ device: context.device }));
    return opened;
  };
  context.onExit(async () => (await opened?.catch(() => undefined))?.close());
  const running = {
    signal: context.signal,
    done: ({ bytes, name }: { bytes: number; name: string }) => context.progress.advance(bytes, name),
  };

  if (options.diff !== undefined) {
    const other = await openAny(options.diff, context);
    context.onExit(() => other.close());
    context.progress.start({ total: facts.bytes, unit: "bytes" });
    const found = await compare(gpu, checkpoint, other, wanted, { ...running, warn: (text) => context.warn(text) });
    context.progress.done();
    if (!reads) {
      context.print(comparisonText(found, other.ref, context.verbose, screenWidth(context.out)));
      context.json({ ref: checkpoint.ref, diff: comparisonJson(found, other.ref) });
      return {};
    }
    return report(context, checkpoint, facts, index, gpu, running, { found, other: other.ref });
  }
  return report(context, checkpoint, facts, index, gpu, running, undefined);
}

/** Everything but a comparison alone: facts, tensors with or without statistics, problems, lineage. */
async function report(
  context: Context,
  checkpoint: Checkpoint,
  facts: Overview,
  index: Awaited<ReturnType<typeof indexOf>>,
  gpu: () => Promise<Gpu>,
  running: ReadOptions,
  diff: { found: Comparison; other: string } | undefined,
): Promise<Outcome> {
  const { options, verbose } = context;
  const wanted = nameFilter(options.tensors);
  context.progress.start({ total: facts.bytes, unit: "bytes" });
  const tallies = options.stats || options.check ? await tallyTensors(gpu, checkpoint, wanted, running) : undefined;
  context.progress.done();
  const chosen = [...checkpoint.tensors.values()].filter(({ name }) => wanted(name));
  const problems = options.check && tallies ? [...checkHeaders(checkpoint, index), ...checkValues(tallies)] : undefined;

  const width = screenWidth(context.out);
  const parts: string[] = [];
  if (!problems || options.stats || verbose) {
    parts.push(summary(facts, width));
    const isMeasured = tallies && options.stats;
    parts.push(isMeasured ? statisticsTable(tallies, verbose, width) : tensorTable(chosen, verbose, width));
  }
  if (diff) parts.push(comparisonText(diff.found, diff.other, verbose, width));
  if (problems) parts.push(problemText(checkpoint.ref, chosen.length, problems));
  else parts.push(lineageText(checkpoint.lineage));
  context.print(parts.filter(Boolean).join("\n\n"));

  context.json({
    ...facts,
    tensors: chosen.map(({ name, dtype, shape, bytes }) => {
      const found = options.stats ? tallies?.get(name) : undefined;
      const statistics = found && statisticsOf(found.tally);
      return { name, dtype, shape, parameters: sizeOf(shape), bytes, ...(statistics && { statistics }) };
    }),
    ...(diff && { diff: comparisonJson(diff.found, diff.other) }),
    ...(problems && { problems }),
    lineage: checkpoint.lineage,
  });
  return { exitCode: problems?.some(({ level }) => level === "error") ? 1 : 0 };
}

function problemText(ref: string, tensors: number, problems: readonly Problem[]): string {
  if (problems.length === 0) return `${ref}: ${tensors} tensors checked, no problems found`;
  return problems.map(({ level, message }) => `${level}: ${message}`).join("\n");
}

const comparisonJson = ({ tensors, total, onlyHere, onlyThere, shapes, dtypes }: Comparison, other: string) => ({
  other,
  total,
  tensors: tensors.map(({ name, dtype, otherDtype, shape, gap, identical }) => ({
    name,
    dtype,
    ...(otherDtype && { other_dtype: otherDtype }),
    shape,
    identical,
    ...differenceOf(gap),
  })),
  only_here: onlyHere,
  only_there: onlyThere,
  shapes,
  dtypes,
});

function printReads(context: Context, bytes: number, reads: boolean): Outcome {
  context.print(reads ? `reads ${humanBytes(bytes)} of weights` : "reads headers only");
  context.json({ reads: reads ? bytes : 0 });
  return {};
}

/**
 * The script is the whole result: a check beside it would not be seen, and its exit code would be taken for the
 * script's.
 */
function refuseBesideCommand(options: InspectOptions): void {
  const other = (["check", "stats", "diff", "tensors"] as const).find(
    (name) => options[name] !== undefined && options[name] !== false,
  );
  if (options.command && other !== undefined)
    throw new UserError(
      `--command prints a script for sh, and --${other} asks about tensors`,
      "run them apart, one inspect each",
    );
}

async function printCommand(context: Context, checkpoint: Checkpoint): Promise<Outcome> {
  const { script, commands } = await rerun(checkpoint.lineage, launcher());
  if (commands.length === 0) {
    throw new UserError(
      `${checkpoint.ref} has no lineage`,
      "it was not made by ingot, or another tool has written it since",
      1,
    );
  }
  context.text(script);
  context.json({ ref: checkpoint.ref, commands, script });
  return {};
}
