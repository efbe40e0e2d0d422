/** What `evaluate` refuses before it opens or reads anything large. */
import fs from "node:fs";
import path from "node:path";
import { isatty } from "node:tty";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { filesOf } from "../checkpoint/folder/files-of.ts";
import type { GroupReference } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { checkStops } from "../run/generating/stop-texts.ts";
import { type BoundMetric, needsOf } from "../run/measuring/metric.ts";
import type { Need } from "../run/scoring/scored-row.ts";
import type { EvaluateOptions } from "./options.ts";
import { modelsOf } from "./references.ts";

/** Throws UserError for options that an attack or a probe cannot follow. */
export function checkAlone(kind: string, options: EvaluateOptions): void {
  const { pass, dump, offload, load_in } = options;
  const given = {
    ...{ pass, dump: dump !== undefined, offload, "load-in": load_in !== undefined },
    "expert-store": options.expert_store === "stream",
  };
  const odd = Object.entries(given).find(([, is]) => is)?.[0];
  if (odd) throw new UserError(`--${odd} cannot be combined with --${kind}`, "run them apart, one evaluate each");
  if (options.dtype === "bf16")
    throw new UserError(`--${kind} works on weights in f32, not bf16`, "leave out --dtype bf16");
}

/** Throws UserError for options that ask for one model, where two are mixed. `mixes`: a technique takes both. */
export function checkWith(options: EvaluateOptions, mixes: boolean): void {
  if (options.with === undefined || options.with.length === 0) return;
  if (options.with.length > 1)
    throw new UserError(
      `--with names ${options.with.length} models, and one is mixed in`,
      "name one, or a rule that combines several: --method NAME",
    );
  const { dump, pass } = options;
  const { attack, probe } = mixes ? {} : options;
  const odd = Object.entries({ attack, probe, dump, pass: pass || undefined }).find(([, value]) => value !== undefined);
  if (odd)
    throw new UserError(
      `--${odd[0]} cannot be combined with --with, which measures two models as one`,
      "run them apart",
    );
}

/** Throws UserError for options that a task file decides. */
export function checkTask(options: EvaluateOptions): void {
  if (options.task === undefined) return;
  const { metric, attack, probe, columns, stop } = options;
  const given = { metric, attack, probe, columns, stop };
  const odd = Object.entries(given).find(
    ([, value]) => value !== undefined && (!Array.isArray(value) || value.length > 0),
  );
  if (odd) throw new UserError(`--${odd[0]} cannot be combined with --task, whose file decides it`, "run them apart");
}

/** What to say where a metric compares a model with itself: its value is perfect, whatever the model knows. */
export function goldRemark(
  metrics: readonly BoundMetric[],
  refs: readonly string[],
  { gold }: EvaluateOptions,
): string | undefined {
  const compares = metrics.filter(({ method }) => method.gold !== undefined).map(({ method }) => method.name);
  const same = gold === undefined ? undefined : refs.find((ref) => samePlace(gold, ref));
  if (same === undefined || compares.length === 0) return undefined;
  return `${same} is --gold itself: its ${compares.join(", ")} compare it with itself, and say nothing`;
}

const samePlace = (one: string, other: string): boolean =>
  one !== "-" && (one === other || (fs.existsSync(one) && path.resolve(one) === path.resolve(other)));

/** What is found in one pass over the rows. */
const ONE_PASS = new Set<Need>(["choice", "moments", "gradient", "packed-bytes"]);

/** Throws UserError for rows from stdin that would have to be read twice. */
export function checkStdin(
  metrics: readonly BoundMetric[],
  groups: readonly GroupReference[],
  options: EvaluateOptions,
  models: number,
): void {
  if (groups.every(({ path: file }) => file !== "-")) return;
  const readsTwice =
    needsOf(metrics).difference(ONE_PASS).size > 0 || options.gold !== undefined || modelsOf(metrics).length > 0;
  const reason =
    options.attack !== undefined
      ? "--attack needs"
      : options.probe !== undefined
        ? "--probe needs"
        : models > 1
          ? "several models need"
          : undefined;
  if (readsTwice || reason)
    throw new UserError(
      `rows from stdin cannot be read twice, which ${reason ?? "these metrics or --gold need"}`,
      "write them to a file first",
    );
}

/** Throws UserError for outputs that cannot be what they are asked to be. */
export function checkOutputs(options: EvaluateOptions, out: string, isDryRun: boolean): void {
  const { dump } = options;
  checkStops(options.stop);
  if (dump !== undefined) checkDump(dump, options.pass ? "--pass" : out === "-" ? "the result" : undefined);
  const isBinary = options.pass || (dump !== undefined && isStdout(dump));
  if (isBinary && !isDryRun && isatty(1))
    throw new UserError(
      `what ${options.pass ? "--pass" : "--dump"} writes is binary and stdout is a terminal`,
      "pipe it to a command (| ...) or write it to a file (> FILE)",
    );
}

const isStdout = (target: string): boolean => target === "-" || /^\/dev\/(stdout|fd\/1)$/.test(target);

/**
 * Throws UserError unless logits can go there: to a file that ends with .safetensors, a pipe, or stdout where nothing
 * else does.
 */
function checkDump(dump: string, onStdout: string | undefined): void {
  if (isStdout(dump)) {
    if (onStdout !== undefined)
      throw new UserError(
        `--dump ${dump} and ${onStdout} would both write to stdout`,
        onStdout === "--pass" ? "name a file, --dump logits.safetensors" : "give the result a file, -o FILE",
      );
    return;
  }
  const stat = fs.statSync(dump, { throwIfNoEntry: false });
  if (stat?.isFIFO() || stat?.isCharacterDevice()) return;
  if (stat?.isDirectory() || !dump.endsWith(".safetensors"))
    throw new UserError(
      `--dump ${dump}: expected a file whose name ends with .safetensors${stat?.isDirectory() ? ", found a folder" : ""}`,
      "for example --dump logits.safetensors",
    );
  const folder = path.dirname(dump);
  if (!fs.existsSync(folder))
    throw new UserError(`--dump ${dump}: the folder ${folder} does not exist`, "make it first");
}

/** All files that an evaluation reads, none of which it may write over. */
export function inputsOf(
  { tokenizer, config }: { readonly tokenizer?: string | undefined; readonly config?: string | undefined },
  checkpoints: readonly Checkpoint[],
  groups: readonly GroupReference[],
): string[] {
  const folders = tokenizer === undefined || tokenizer === "byte" ? [] : [tokenizer];
  return [
    ...[...checkpoints.map(({ ref }) => ref), ...folders].flatMap(filesOf),
    ...groups.map(({ path: file }) => file),
    ...(config === undefined ? [] : [config]),
  ];
}
