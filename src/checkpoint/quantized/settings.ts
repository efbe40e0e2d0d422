/** What config.json says of a quantisation, and the config of the plain model that comes out. */
import { decodeText, isObject, type JsonObject, parseJson } from "../../json.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { torchName } from "../dtype.ts";
import { COMPRESSED_TENSORS } from "./compressed-tensors.ts";
import { MLX } from "./mlx.ts";
import { mentionsQuantization, QUANTIZATION_KEYS } from "./signs.ts";

const CONFIG = "config.json";
const DTYPE_KEYS = ["torch_dtype", "dtype"];

function parsed({ files, ref }: Pick<Checkpoint, "files" | "ref">): JsonObject | undefined {
  const bytes = files.get(CONFIG);
  if (bytes === undefined || !mentionsQuantization(bytes)) return undefined;
  const what = `${CONFIG} of ${ref}`;
  const { value } = parseJson(decodeText(bytes, what), what);
  return isObject(value) ? value : undefined;
}

/** The config and the objects directly in it, such as `text_config`. */
const places = (config: JsonObject): JsonObject[] => [config, ...Object.values(config).filter(isObject)];

export interface Settings {
  readonly settings: JsonObject;
  /** `quant_method` in lower case, or what the keys stand for; "unknown" where nothing tells. */
  readonly method: string;
}

/** The settings of a checkpoint's config; undefined where it says nothing. Throws UserError for a damaged config. */
export function settingsOf(checkpoint: Pick<Checkpoint, "files" | "ref">): Settings | undefined {
  const config = parsed(checkpoint);
  if (config === undefined) return undefined;
  for (const place of places(config)) {
    for (const key of QUANTIZATION_KEYS) {
      const settings = place[key];
      if (isObject(settings) && Object.keys(settings).length > 0) return { settings, method: methodOf(settings, key) };
    }
  }
  return undefined;
}

function methodOf(settings: JsonObject, key: string): string {
  if (typeof settings.quant_method === "string") return settings.quant_method.toLowerCase();
  if (settings.load_in_4bit === true || settings.load_in_8bit === true) return "bitsandbytes";
  if (settings.config_groups !== undefined || key === "compression_config") return COMPRESSED_TENSORS;
  return settings.bits !== undefined && settings.group_size !== undefined ? MLX : "unknown";
}

/** The files of the plain model: a config without those keys, whose dtype is f32 where it states one. */
export function plainFiles(checkpoint: Pick<Checkpoint, "files" | "ref">, decoded: boolean): Map<string, Uint8Array> {
  const files = new Map(checkpoint.files);
  const bytes = files.get(CONFIG);
  if (bytes === undefined) return files;
  const what = `${CONFIG} of ${checkpoint.ref}`;
  const { value: config } = parseJson(decodeText(bytes, what), what);
  if (!isObject(config)) return files;
  for (const place of places(config)) {
    for (const key of QUANTIZATION_KEYS) if (isObject(place[key])) delete place[key];
    for (const key of DTYPE_KEYS) if (decoded && typeof place[key] === "string") place[key] = torchName("F32")!;
  }
  return files.set(CONFIG, new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`));
}
