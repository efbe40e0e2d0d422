/**
 * The files of a merged model: those of the base, or of the first model, word for word. Only the fields of config.json
 * that the merge changes differ. The tokenizer is carried over whole.
 */
import { type Dtype, torchName } from "../../checkpoint/dtype.ts";
import { type Config, LAYER_KEYS, type NamedModel, TEXT_CONFIGS } from "../../model/names.ts";
import { editJson } from "./json-edit.ts";

/** A stack whose layers were chosen by slices. */
export interface RestackedLayers {
  readonly prefix: string;
  /** Layers of this stack in the model that gives the files. */
  readonly before: number;
  /** For every layer of the output, the number of the layer it was made from. */
  readonly origins: readonly number[];
}

export interface ConfigChanges {
  /** The type in which weights are written, if the recipe says. */
  readonly dtype?: Dtype;
  readonly stacks: readonly RestackedLayers[];
  /** Rows of the token embedding, if they are not those of the model that gives the files. */
  readonly vocabulary?: number;
  /** A head is written that is not the embedding, though the config says they are one. */
  readonly untied: boolean;
  /** Further fields, where config.json has them: sizes of a result that is larger or smaller. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/**
 * Files that describe the source and not its merge. An adapter's config stays if the tensors are still an adapter's.
 */
const isLeftBehind = (name: string, donor: NamedModel): boolean =>
  name === "adapter_config.json"
    ? ![...donor.tensors.keys()].some((tensor) => tensor.includes(".lora_A"))
    : /^(mergekit_config\.yml|README\.md|.*\.index\.json)$/.test(name);

/** Lists in configs with one entry per layer. */
const PER_LAYER = ["layer_types", "layers_block_type", "no_rope_layers", "block_configs"];

/** The files of the output. What could not be said in config.json is added to `warnings`. */
export function outputFiles(donor: NamedModel, changes: ConfigChanges, warnings: string[]): Map<string, Uint8Array> {
  const files = new Map([...donor.checkpoint.files].filter(([name]) => !isLeftBehind(name, donor)));
  const bytes = files.get("config.json");
  if (bytes === undefined || donor.config === undefined) return files;
  const before = new TextDecoder().decode(bytes);
  const after = editConfig(before, donor.config, changes, donor.ref, warnings);
  if (after !== before) files.set("config.json", new TextEncoder().encode(after));
  return files;
}

/** A place in the config where settings live: the path to it and the object there. */
type Place = readonly [path: readonly string[], fields: Config];

function places(config: Config, keys: readonly string[]): Place[] {
  const found: Place[] = [];
  for (const key of keys) {
    const inner = config[key];
    if (typeof inner === "object" && inner !== null && !Array.isArray(inner)) found.push([[key], inner as Config]);
  }
  return found;
}

function editConfig(text: string, config: Config, changes: ConfigChanges, ref: string, warnings: string[]): string {
  let edited = text;
  const root: Place = [[], config];
  const language = [root, ...places(config, TEXT_CONFIGS)];
  const set = ([path, fields]: Place, key: string, value: unknown): boolean => {
    if (!Object.hasOwn(fields, key)) return false;
    if (fields[key] !== value) edited = editJson(edited, [...path, key], value);
    return true;
  };

  const dtype = changes.dtype === undefined ? undefined : torchName(changes.dtype);
  if (dtype !== undefined) {
    const parts = [...language, ...places(config, ["vision_config", "audio_config"])];
    // transformers 5 writes `dtype`, earlier ones `torch_dtype`.
    const known = parts.flatMap((place) => [set(place, "torch_dtype", dtype), set(place, "dtype", dtype)]);
    if (!known.includes(true)) edited = editJson(edited, ["torch_dtype"], dtype);
  }
  if (changes.vocabulary !== undefined) for (const place of language) set(place, "vocab_size", changes.vocabulary);
  for (const [key, value] of Object.entries(changes.fields ?? {}))
    for (const place of language) if (JSON.stringify(place[1][key]) !== JSON.stringify(value)) set(place, key, value);
  if (changes.untied) {
    // Some architectures are tied unless their config says otherwise, so silence is not enough.
    const known = language.map((place) => set(place, "tie_word_embeddings", false));
    if (!known.includes(true)) edited = editJson(edited, ["tie_word_embeddings"], false);
  }

  for (const { prefix, before, origins } of changes.stacks) {
    const tower = ["vision", "visual", "audio"].find((word) => prefix.includes(word));
    const owners =
      tower === undefined ? language : places(config, tower === "audio" ? ["audio_config"] : ["vision_config"]);
    const keys = [...towerKeys(prefix), ...LAYER_KEYS, "depth"];
    const spots = owners.flatMap((place) =>
      keys.filter((key) => Object.hasOwn(place[1], key)).map((key) => ({ place, key })),
    );
    const spot = spots.find(({ place, key }) => place[1][key] === before) ?? spots[0];
    if (spot === undefined) {
      warnings.push(
        `config.json of ${ref} has no number of layers to set for ${prefix}; the output has ${origins.length}`,
      );
      continue;
    }
    set(spot.place, spot.key, origins.length);
    for (const key of PER_LAYER) {
      const list = spot.place[1][key];
      if (!Array.isArray(list) || list.length !== before || origins.some((layer) => layer >= before)) continue;
      const picked = origins.map((layer) => list[layer] as unknown);
      if (JSON.stringify(picked) !== JSON.stringify(list)) edited = editJson(edited, [...spot.place[0], key], picked);
    }
  }
  return edited;
}

/** Encoder-decoder configs count both stacks. */
function towerKeys(prefix: string): string[] {
  if (prefix.includes("decoder")) return ["num_decoder_layers", "decoder_layers"];
  return prefix.includes("encoder") ? ["encoder_layers"] : [];
}
