/**
 * Types of PEFT whose files say what another type says, read as that one: the low-rank change of AdaLoRA, norms and
 * token rows that are held whole, and the prompt that P-tuning's encoder gave.
 *
 *   ADALORA            W + alpha / (init_r + 1e-5) B (E A), E (r, 1) times the rows of A (r, in); ranks that training
 *                      dropped are not in the file, and the scale stays that of all (peft/tuners/adalora/layer.py)
 *   LN_TUNING          MODULE.ln_tuning_layers.weight takes the place of MODULE.weight
 *   TRAINABLE_TOKENS   MODULE.trainable_tokens_delta takes the place of the rows token_indices
 *   P_TUNING           prompt_embeddings is what the encoder gave, as PEFT saves it: prompt tuning
 *
 * As PEFT 0.18 writes them.
 */
import { UserError } from "../../errors.ts";
import { type JsonObject, show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { decodeFloats, encodeFloats } from "../decode.ts";
import { isFloat } from "../dtype.ts";
import { parseObject } from "./config.ts";
import { heldEntry, viewEntry } from "./entries.ts";
import { isTranslated, peftTypeOf, type Translated } from "./format.ts";

interface Translation {
  readonly json: JsonObject;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

type Translate = (adapter: Checkpoint, json: JsonObject) => Translation | Promise<Translation>;

const PREFIX = "base_model.model.";

/** Settings of AdaLoRA's training, which LoRA's config does not know. */
const TRAINING = /^(target_r|init_r|tinit|tfinal|deltaT|beta1|beta2|orth_reg_weight|total_step)$/;

/** PEFT's guard against a division by zero. */
const EPS = 1e-5;

function numberIn(json: JsonObject, key: string, fallback: number, where: string): number {
  const value = json[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new UserError(`${where}: adapter_config.json: ${key} is ${JSON.stringify(value)}, expected a number`);
}

async function valuesOf(entry: TensorEntry, where: string): Promise<Float32Array> {
  if (!isFloat(entry.dtype)) throw new UserError(`${where}: ${show(entry.name)} is ${entry.dtype}, expected floats`);
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  return decodeFloats(bytes, entry.dtype);
}

/** E A of AdaLoRA, in f32. */
async function scaledRows(a: TensorEntry, e: TensorEntry, where: string): Promise<TensorEntry> {
  const [rank = 0, width = 0] = a.shape;
  if (a.shape.length !== 2 || e.shape.join() !== `${rank},1`)
    throw new UserError(
      `${where}: ${show(e.name)} is (${e.shape.join(", ")}) and ${show(a.name)} (${a.shape.join(", ")}), which do not go together`,
      "the adapter file is damaged",
    );
  const [rows, factors] = [await valuesOf(a, where), await valuesOf(e, where)];
  const bytes = encodeFloats(
    rows.map((x, at) => x * factors[Math.floor(at / width)]!),
    "F32",
  );
  return heldEntry({ ...a, dtype: "F32", bytes: bytes.length }, bytes);
}

async function adalora(adapter: Checkpoint, json: JsonObject): Promise<Translation> {
  const { ref } = adapter;
  const begun = numberIn(json, "init_r", 12, ref);
  const alpha = numberIn(json, "lora_alpha", 8, ref);
  const byModule = new Map<string, Partial<Record<"A" | "B" | "E", TensorEntry>>>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, entry] of adapter.tensors) {
    const [, module, part] = /^(.+)\.lora_([ABE])(?:\.[^.]+)?$/.exec(name) ?? [];
    if (module === undefined) tensors.set(name, entry);
    else byModule.set(module, { ...byModule.get(module), [part as "A" | "B" | "E"]: entry });
  }
  const [ranks, alphas]: [Record<string, number>, Record<string, number>] = [{}, {}];
  for (const [module, { A: a, B: b, E: e }] of byModule) {
    if (!a || !b || !e)
      throw new UserError(
        `${ref} has not all of lora_A, lora_B and lora_E for ${show(module)}`,
        "the adapter file is incomplete",
      );
    const [rank = 0] = a.shape;
    if (rank === 0) continue; // training dropped all of it
    tensors.set(a.name, await scaledRows(a, e, ref)).set(b.name, b);
    const key = `^${(module.startsWith(PREFIX) ? module.slice(PREFIX.length) : module).replaceAll(".", "\\.")}`;
    ranks[key] = rank;
    const scale = (alpha > 0 ? alpha : rank) / (begun + EPS);
    alphas[key] = scale * rank;
  }
  const kept = Object.entries(json).filter(([key]) => !TRAINING.test(key));
  const strength = { r: begun, rank_pattern: ranks, alpha_pattern: alphas, use_rslora: false };
  return { json: { ...Object.fromEntries(kept), ...strength, peft_type: "LORA" }, tensors };
}

/** The adapter's tensors under other names. */
function renamed(adapter: Checkpoint, rename: (name: string) => string): Map<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  for (const [old, entry] of adapter.tensors) {
    const name = rename(old);
    if (tensors.has(name)) throw new UserError(`${adapter.ref} has two tensors for ${show(name)}`);
    tensors.set(name, viewEntry(entry, { name }));
  }
  return tensors;
}

const savedModules = (json: JsonObject): unknown[] => (Array.isArray(json.modules_to_save) ? json.modules_to_save : []);

/** A LoRA that changes no matrices. */
const WHOLE_ONLY = { peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: [] };

function norms(adapter: Checkpoint, json: JsonObject): Translation {
  const LAYER = /\.ln_tuning_layers(?:\.(?!weight$|bias$)[^.]+)?(?=\.(?:weight|bias)$)/;
  const modules = new Set<string>();
  const tensors = renamed(adapter, (old) => {
    const name = old.replace(LAYER, "");
    if (name !== old) modules.add(name.replace(PREFIX, "").replace(/\.(weight|bias)$/, ""));
    return name;
  });
  const { base_model_name_or_path, task_type } = json;
  const modules_to_save = [...modules, ...savedModules(json)] as string[];
  return { json: { ...WHOLE_ONLY, base_model_name_or_path, task_type, modules_to_save } as JsonObject, tensors };
}

function tokenRows(adapter: Checkpoint, json: JsonObject): Translation {
  const tensors = renamed(adapter, (name) =>
    name.replace(/(?<!\.token_adapter)\.trainable_tokens_delta(?=\.[^.]+$|$)/, ".token_adapter.trainable_tokens_delta"),
  );
  const { base_model_name_or_path, task_type } = json;
  const own = { base_model_name_or_path, task_type, modules_to_save: savedModules(json) as string[] };
  const whole = { ...WHOLE_ONLY, ...own, trainable_token_indices: json.token_indices ?? [] };
  return { json: whole as JsonObject, tensors };
}

const TRANSLATIONS: Readonly<Record<Translated, Translate>> = {
  ADALORA: adalora,
  LN_TUNING: norms,
  P_TUNING: ({ tensors }, json) => ({ json: { ...json, peft_type: "PROMPT_TUNING" }, tensors }),
  TRAINABLE_TOKENS: tokenRows,
};

/**
 * The adapter as the type that it is read as; itself where it is read as it is. Throws UserError for a file of such a
 * type that is damaged or comes as a stream.
 */
export async function translated(adapter: Checkpoint): Promise<Checkpoint> {
  const type = peftTypeOf(adapter);
  const bytes = adapter.files.get("adapter_config.json");
  if (!isTranslated(type) || bytes === undefined) return adapter;
  if (adapter.kind === "stream")
    throw new UserError(`${adapter.ref} is ${type} and comes as a stream`, "write it to a folder, and name that");
  const { json, tensors } = await TRANSLATIONS[type](
    adapter,
    parseObject(bytes, `${adapter.ref}: adapter_config.json`),
  );
  const config = new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`);
  const files = new Map(adapter.files).set("adapter_config.json", config);
  return { ...adapter, tensors, files, close: () => adapter.close() };
}
