/** A file of stages: a JSON list of what each trains, on which rows, and how. */
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type Json, parseJson, show } from "../../json.ts";

export interface Stage {
  /** Names the stage in messages: "stages.json: stage 2". */
  readonly place: string;
  /** Glob patterns of the weights that are trained; all others stay as they are. */
  readonly train: readonly string[];
  /** Rows, as --data names them elsewhere. */
  readonly data: readonly string[];
  readonly loss: string | undefined;
  readonly steps: number | undefined;
  readonly lr: number | undefined;
  readonly batchSize: number | undefined;
}

const KEYS = ["train", "data", "loss", "steps", "lr", "batch_size"];
const EXAMPLE = '[{"train": ["layers.0.*", "classifier.*"], "data": "rows.jsonl", "steps": 100}]';

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

function textsOf(value: Json | undefined, what: string): readonly string[] {
  const found = Array.isArray(value) ? value : [value];
  const texts = found.filter(isText);
  if (texts.length > 0 && texts.length === found.length) return texts;
  throw new UserError(`${what} should be a text or a list of texts`, `for example ${EXAMPLE}`);
}

function numberOf(value: Json | undefined, what: string, isWhole: boolean): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "number" && value > 0 && (!isWhole || Number.isSafeInteger(value))) return value;
  throw new UserError(
    `${what} should be a ${isWhole ? "whole " : ""}number above 0, found ${show(JSON.stringify(value))}`,
    "leave it out for what the option says",
  );
}

function stageOf(json: Json, place: string): Stage {
  if (!isObject(json)) throw new UserError(`${place} is not an object`, `for example ${EXAMPLE}`);
  const odd = Object.keys(json).find((key) => !KEYS.includes(key));
  if (odd !== undefined) throw new UserError(`${place} has no ${show(odd)}`, `its keys are ${KEYS.join(", ")}`);
  const { loss } = json;
  if (loss !== undefined && !isText(loss))
    throw new UserError(`${place}: loss should be the name of a loss`, "see bun run train --help loss");
  return {
    place,
    train: textsOf(json.train, `${place}: train`),
    data: textsOf(json.data, `${place}: data`),
    loss,
    steps: numberOf(json.steps, `${place}: steps`, true),
    lr: numberOf(json.lr, `${place}: lr`, false),
    batchSize: numberOf(json.batch_size, `${place}: batch_size`, true),
  };
}

/** Reads the file. Throws UserError for one that is no list of stages. */
export function readStages(file: string): readonly Stage[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      `give a file of stages: ${EXAMPLE}`,
    );
  }
  const { value } = parseJson(text, file);
  if (!Array.isArray(value) || value.length === 0)
    throw new UserError(`${file} is no list of stages`, `for example ${EXAMPLE}`);
  return value.map((json, i) => stageOf(json, `${file}: stage ${i + 1}`));
}

/** Throws UserError for a pattern that names none of these weights. */
export function checkNames({ place, train }: Stage, names: readonly string[]): void {
  for (const pattern of train) {
    const glob = new Bun.Glob(pattern);
    if (!names.some((name) => glob.match(name)))
      throw new UserError(`${place}: no weight is named ${show(pattern)}`, `there are ${names.join(", ")}`);
  }
}
