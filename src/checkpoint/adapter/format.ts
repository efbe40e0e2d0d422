/**
 * What a type of adapter says of its files, so that they fold into a base on reading. The types are methods of the kind
 * `adapter`, found by their `peft_type`; this folder knows none of them but LoRA.
 */
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { loadMethod, methodFiles } from "../../method/registry.ts";
import type { Checkpoint, Patch } from "../checkpoint.ts";

/** Values in f32. */
export interface HostTensor {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** A module of the base that a file adapts: a linear layer of W (out, in). */
export interface FileModule {
  /** Its name in the base. */
  readonly module: string;
  readonly into: number;
  readonly out: number;
  /** W lies as (in, out). */
  readonly transposed: boolean;
  /** A tensor of the module, by its name after the module's. */
  tensor(part: string): HostTensor;
  /** A tensor that all modules share; undefined where the file lacks it. */
  shared(name: string): HostTensor | undefined;
}

/** What becomes of a module's tensors. */
export interface Folded {
  readonly weight?: Patch;
  /** Changes values of the bias, where the base has one, of which the first is the bias's value `first`. */
  bias?(values: Float32Array, first: number): void;
  /** Changes the whole bias, where values of it hang on others. */
  wholeBias?(values: Float32Array): void;
}

/** A change scale B A: a (r, in), b (out, r). */
export interface FlatFactors {
  readonly a: HostTensor;
  readonly b: HostTensor;
  readonly scale: number;
}

/** Tensors of a file by module and part. */
export type ModuleTensors = ReadonlyMap<string, ReadonlyMap<string, HostTensor>>;

export interface AdapterFormat {
  readonly title: string;
  /** Names of a module's tensors, after the module's name: `ia3_l`. */
  readonly parts: readonly string[];
  /** Names of what all modules share; * stands for a number. */
  readonly sharedParts: readonly string[];
  /**
   * What the file's modules fold to; undefined of a type whose change depends on the input, or is of no weight. Throws
   * UserError for settings that are not known and for tensors that lack or do not fit.
   */
  readonly fold: ((json: JsonObject, where: string, modules: readonly FileModule[]) => Promise<Folded[]>) | undefined;
  /** Whether it puts tokens, or keys and values, before every sequence, and changes no weight. */
  readonly ahead?: boolean;
  /** Of such a type: the low-rank change of each module that is the same for every input and comes nearest. */
  readonly flat?:
    | ((json: JsonObject, where: string, modules: ModuleTensors) => Promise<Map<string, FlatFactors>>)
    | undefined;
}

/** Whether a tensor of this name is one that all modules share. */
export const isShared = ({ sharedParts }: Pick<AdapterFormat, "sharedParts">, name: string): boolean =>
  sharedParts.includes(name) || sharedParts.includes(name.replace(/(?<=\.)\d+(?=\.)/, "*"));

const fileOf = (peftType: string): string => peftType.toLowerCase().replaceAll("_", "-");

/** `peft_type` of a bank of adapters that answer together, which `train s3t` writes. */
export const BANK_TYPE = "S3T";

const BANK: AdapterFormat = { title: "a bank of shards", parts: [], sharedParts: [], fold: undefined };

/** Whether a file of this `peft_type` is read here. */
export const isKnownType = (peftType: string): boolean =>
  peftType === BANK_TYPE || methodFiles("adapter").has(fileOf(peftType));

/** Types whose files are read as those of another one (translated.ts). */
export type Translated = (typeof TRANSLATED)[number];
const TRANSLATED = ["ADALORA", "LN_TUNING", "P_TUNING", "TRAINABLE_TOKENS"] as const;

export const isTranslated = (peftType: string): peftType is Translated => TRANSLATED.some((type) => type === peftType);

/** `peft_type` of adapter_config.json in capitals; LORA where it says none. */
export function peftTypeOf({ files }: Pick<Checkpoint, "files">): string {
  const bytes = files.get("adapter_config.json");
  try {
    const json = JSON.parse(bytes ? new TextDecoder().decode(bytes) : "{}") as JsonObject | null;
    return typeof json?.peft_type === "string" ? json.peft_type.toUpperCase() : "LORA";
  } catch {
    return "LORA"; // whoever reads the config says what is wrong with it
  }
}

/** The name of the method that reads an adapter. */
export const typeFile = (adapter: Pick<Checkpoint, "files">): string => fileOf(peftTypeOf(adapter));

/** The format of an adapter that is no LoRA; undefined of LoRA. Throws UserError for a type that is not read. */
export async function formatOf(adapter: Pick<Checkpoint, "files" | "ref">): Promise<AdapterFormat | undefined> {
  const peftType = peftTypeOf(adapter);
  if (peftType === "LORA") return undefined;
  if (peftType === BANK_TYPE) return BANK;
  if (!isKnownType(peftType)) throw new UserError(`${adapter.ref} is an adapter of the kind ${peftType}`);
  const type = await loadMethod("adapter", fileOf(peftType), `${adapter.ref}: peft_type`);
  return (type as { readonly format?: AdapterFormat }).format;
}
