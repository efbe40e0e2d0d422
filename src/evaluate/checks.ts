/** What `evaluate` refuses before it opens or reads anything large. */
import fs from "node:fs";
import path from "node:path";
import { isatty } from "node:tty";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { filesOf } from "../checkpoint/folder/files-of.ts";
import { refuseInputs } from "../cli/target.ts";
import type { GroupReference } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { checkStops } from "../run/generating/options.ts";
import type { EvaluateContext } from "./command.ts";
import type { Metric, Need } from "./contract.ts";
import { needsOf } from "./loaded-model.ts";

/** Throws UserError for options that an attack or a probe has no place for. */
export function checkAlone(kind: string, options: EvaluateContext["options"]): void {
  const odd = options.pass ? "pass" : options.dump !== undefined ? "dump" : undefined;
  if (odd) throw new UserError(`--${odd} has no effect with --${kind}`, "run them apart, one evaluate each");
  if (options.dtype === "bf16")
    throw new UserError(`--${kind} works on weights in f32, not bf16`, "leave out --dtype bf16");
}

/** Throws UserError for what can be known before a model is opened. */
export function checkMetrics(
  metrics: readonly Metric[],
  groups: readonly GroupReference[],
  options: EvaluateContext["options"],
  models: number,
): void {
  const { forget, holdout, min_k: minK } = options;
  const names = groups.map(({ name }) => name);
  for (const { check } of metrics) check?.({ groups: names, forget, holdout, minK, gold: options.gold !== undefined });
  const needs = needsOf(metrics);
  const odd = metrics.find((metric) => needs.has("choice") && needsOf([metric]).difference(CHOICE_NEEDS).size > 0);
  if (odd)
    throw new UserError(
      `--metric choice scores the choices of a row, ${odd.name} its own answer`,
      `run them apart, one evaluate with --metric choice and one with --metric ${odd.name}`,
    );
  const once = new Set<Need>(["choice", "moments", "gradient", "packed-bytes"]);
  const twice = needs.difference(once).size > 0;
  const asks =
    options.attack !== undefined
      ? "--attack asks"
      : options.probe !== undefined
        ? "--probe asks"
        : models > 1
          ? "several models ask"
          : undefined;
  if ((twice || asks || options.gold !== undefined) && groups.some(({ path }) => path === "-"))
    throw new UserError(
      `rows from stdin cannot be read twice, as ${asks ?? "these metrics or --gold ask"} for`,
      "write them to a file first",
    );
}

const CHOICE_NEEDS = new Set<Need>(["choice", "generated"]);

/** Throws UserError for outputs that cannot be what they are asked to be, and for options that say nothing. */
export function checkOutputs({ options, out, dryRun }: EvaluateContext): void {
  const { dump } = options;
  checkStops(options.stop);
  if (dump !== undefined) checkDump(dump, options.pass ? "--pass" : out === "-" ? "the result" : undefined);
  if (dump !== undefined && dump !== "-" && out !== "-" && path.resolve(dump) === path.resolve(out))
    throw new UserError(`--dump and --out both name ${dump}`, "give each a file of its own");
  const binary = options.pass || (dump !== undefined && isStdout(dump));
  if (binary && !dryRun && isatty(1))
    throw new UserError(
      `what ${options.pass ? "--pass" : "--dump"} writes is binary and stdout is a terminal`,
      "hand it to a command (| ...) or write it to a file (> FILE)",
    );
}

const isStdout = (target: string): boolean => target === "-" || /^\/dev\/(stdout|fd\/1)$/.test(target);

/** Throws UserError unless logits can go there: to a file that ends with .safetensors, a pipe, or stdout where nothing else does. */
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
  if (!fs.existsSync(folder)) throw new UserError(`--dump ${dump}: there is no folder ${folder}`, "make it first");
}

/** Throws UserError when something that would be written is read as well. */
export function refuseOwnInputs(
  { options, out }: EvaluateContext,
  checkpoints: readonly Checkpoint[],
  groups: readonly GroupReference[],
): void {
  const tokenizer = options.tokenizer === undefined || options.tokenizer === "byte" ? [] : [options.tokenizer];
  const inputs = [
    ...[...checkpoints.map(({ ref }) => ref), ...tokenizer].flatMap(filesOf),
    ...groups.map(({ path: file }) => file),
    ...(options.config === undefined ? [] : [options.config]),
  ];
  if (options.dump !== undefined) refuseInputs(options.dump, inputs, "--dump");
  refuseInputs(out, inputs);
}
