/**
 * The bytes of a zeroth-order training in a file of tensors, and what they are read by: with the model that the
 * training began with, they are its result.
 *
 *   zo.codes     (steps, samples) U8
 *   zo.settings  U8, the text of a JSON object
 */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { writeArrays } from "../../checkpoint/write/write-arrays.ts";
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type Json, parseJson } from "../../json.ts";

/** What decides which weights are trained. */
export interface TrainedChoice {
  readonly lora: boolean;
  readonly lora_rank: number;
  readonly lora_alpha: number;
  readonly lora_targets?: readonly string[] | undefined;
  readonly freeze?: readonly string[] | undefined;
  readonly train_only?: readonly string[] | undefined;
}

export interface ByteLog {
  readonly codes: Uint8Array;
  readonly steps: number;
  readonly samples: number;
  readonly seed: number;
  readonly lr: number;
  readonly trained: TrainedChoice;
  /** Digests of the trained weights before the first step and after the last. */
  readonly start: string;
  readonly end: string;
}

export function writeByteLog(out: string, log: ByteLog, lineage: readonly LineageEntry[]): Promise<number> {
  const { codes, steps, samples, ...settings } = log;
  const text = new TextEncoder().encode(JSON.stringify(settings));
  const arrays = [
    { name: "zo.codes", shape: [steps, samples], values: codes },
    { name: "zo.settings", shape: [text.length], values: text },
  ];
  return writeArrays(out, arrays, lineage);
}

const isTexts = (value: Json | undefined): value is string[] | undefined =>
  value === undefined || (Array.isArray(value) && value.every((one) => typeof one === "string"));

function trainedIn(value: Json | undefined): TrainedChoice | undefined {
  if (value === undefined || !isObject(value)) return undefined;
  const { lora, lora_rank, lora_alpha, lora_targets, freeze, train_only } = value;
  if (typeof lora !== "boolean" || typeof lora_rank !== "number" || typeof lora_alpha !== "number") return undefined;
  if (!isTexts(lora_targets) || !isTexts(freeze) || !isTexts(train_only)) return undefined;
  return { lora, lora_rank, lora_alpha, lora_targets, freeze, train_only };
}

/** Throws UserError for a file that holds no bytes of a training. */
export async function readByteLog(ref: string): Promise<ByteLog> {
  const file = await openPlain(ref);
  try {
    const foreign = () => new UserError(`${ref} holds no bytes of a training`, "name what train zo-byte --codes wrote");
    const [codes, settings] = [file.tensors.get("zo.codes"), file.tensors.get("zo.settings")];
    if (codes?.dtype !== "U8" || settings?.dtype !== "U8" || codes.shape.length !== 2) throw foreign();
    const [bytes, text] = [new Uint8Array(codes.bytes), new Uint8Array(settings.bytes)];
    await codes.read(bytes, 0);
    await settings.read(text, 0);
    const { value } = parseJson(decodeText(text, ref), ref);
    if (!isObject(value)) throw foreign();
    const { seed, lr, start, end } = value;
    const trained = trainedIn(value.trained);
    if (typeof seed !== "number" || typeof lr !== "number" || !trained) throw foreign();
    if (typeof start !== "string" || typeof end !== "string") throw foreign();
    const [steps = 0, samples = 0] = codes.shape;
    return { codes: bytes, steps, samples, seed, lr, trained, start, end };
  } finally {
    file.close();
  }
}
