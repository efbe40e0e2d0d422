/** What the controls of the page say, as the command line would have it. */

import type { MergeMethod } from "../../merge/contract.ts";
import type { OptionSpec } from "../../method/options.ts";
import { flagOf } from "../../method/options.ts";
import { quote } from "../../text/quote.ts";
import type { Asked } from "./merge.ts";

/** A control of the page for an option of a method: one field per model, a switch, a choice, or a field. */
export interface Control {
  readonly name: string;
  readonly kind: "number" | "switch" | "choice";
  readonly perModel: boolean;
  readonly required: boolean;
  readonly help: string;
  /** What holds when nothing is typed, as text; empty where something must be. */
  readonly fallback: string;
  readonly choices: readonly string[];
}

const choicesOf = ({ type }: OptionSpec): string[] => [...type.matchAll(/'([^']*)'/g)].map(([, word]) => word!);

function controlOf(name: string, spec: OptionSpec): Control {
  const choices = choicesOf(spec);
  const range = /[<>]/.test(spec.type) ? ` (${spec.type.replace("number", name)})` : "";
  // The weights of all models are 1 where none is given.
  const weight = name === "weight" && spec.per === "model" ? "1" : undefined;
  return {
    name,
    kind: spec.type === "boolean" ? "switch" : choices.length > 0 ? "choice" : "number",
    perModel: spec.per === "model",
    required: spec.required === true && weight === undefined,
    help: `${spec.help.replace("on the command line ", "")}${range}`,
    fallback: weight ?? (spec.default === undefined ? "" : String(spec.default)),
    choices,
  };
}

/** Options that are there for the sake of mergekit's recipes and change nothing. */
const IDLE = ["int8_mask"];

/** The controls of a method, in the order of its options. */
export const controlsOf = ({ options }: MergeMethod): Control[] =>
  Object.entries(options)
    .filter(([name]) => !IDLE.includes(name))
    .map(([name, spec]) => controlOf(name, spec));

/**
 * Options that were given, from what stands in the fields of each control: what is empty or as it is by itself is
 * left out. Fields of one value per model are joined by commas.
 */
export function givenValues(
  controls: readonly Control[],
  typed: ReadonlyMap<string, readonly string[]>,
): Map<string, string> {
  const given = new Map<string, string>();
  for (const { name, fallback } of controls) {
    const fields = (typed.get(name) ?? []).map((text) => text.trim() || fallback);
    if (fields.some((text) => text !== fallback)) given.set(name, fields.join(","));
  }
  return given;
}

/** The command that writes the same bytes, run in the folder of the files. */
export function commandOf(asked: Omit<Asked, "files">, out: string): string {
  const flags = [...asked.values].map(([name, text]) => {
    if (text === "true") return flagOf(name);
    if (text === "false") return `--no-${flagOf(name).slice(2)}`;
    return `${flagOf(name)} ${quote(text)}`;
  });
  return [
    "ingot merge",
    ...asked.models.map(quote),
    ...(asked.base === undefined ? [] : [`--base ${quote(asked.base)}`]),
    `--method ${asked.method}`,
    ...flags,
    ...(asked.dtype ? [`--dtype ${asked.dtype}`] : []),
    ...(asked.outDtype ? [`--out-dtype ${asked.outDtype}`] : []),
    `-o ${quote(out)}`,
  ].join(" ");
}
