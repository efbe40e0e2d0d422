/**
 * A model's tokenizer and chat templates as GGUF metadata: the opposite of ../tokenizer.ts.
 *
 * Two kinds have a form in GGUF files: SentencePiece's BPE (`llama`, with scores) and byte-level BPE (`gpt2`, with
 * merges and the name of the way in which text is cut). Any other is refused: llama.cpp would cut text another way.
 */
import { UserError } from "../../../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson, show } from "../../../json.ts";
import { TOKEN_TYPE } from "../tokenizer.ts";
import { byteLevelParts } from "./byte-level.ts";
import { bool, type GgufEntries, text, u32 } from "./encode-header.ts";
import { sentencePieceParts } from "./sentence-piece.ts";
import { noForm, type TokenizerSource } from "./tokenizer-parts.ts";

type Files = ReadonlyMap<string, Uint8Array>;

/** Files that hold a tokenizer without tokenizer.json. */
const OTHERS = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.json", "vocab.txt"] as const;

/** Special tokens by their names in Hugging Face's files and in GGUF. */
const SPECIAL = { bos: "bos", eos: "eos", unk: "unknown", pad: "padding", sep: "seperator", mask: "mask" } as const;

/**
 * Adds the keys of the tokenizer to `entries`. `rows` is the vocabulary of the model; ids without a token are filled
 * up. Throws UserError when the tokenizer has no form in a GGUF file, or more tokens than the model.
 */
export function addTokenizer(entries: GgufEntries, files: Files, rows: number, warn: (message: string) => void): void {
  const definition = jsonOf(files, "tokenizer.json");
  if (definition === undefined) {
    const other = OTHERS.find((name) => files.has(name));
    if (other !== undefined) {
      throw new UserError(
        `the model's tokenizer is in ${other} alone, which is not read here`,
        "put the tokenizer.json beside it that transformers saves",
      );
    }
    warn("the model has no tokenizer, so the file has none: llama.cpp can be given token ids, but no text");
    entries.set("tokenizer.ggml.model", text("none"));
    addTemplates(entries, files);
    return;
  }
  const model = isObject(definition.model) ? definition.model : {};
  const { tokens, types } = tokensOf(definition, model, rows);
  const source = { definition, model, tokens, types, warn };
  if (model.type !== "BPE") throw noForm(`its model is ${show(String(model.type))}`);
  const parts = sentencePieceParts(source) ?? byteLevelParts(source);
  entries.set("tokenizer.ggml.model", text(parts.model));
  entries.set("tokenizer.ggml.pre", text(parts.pre));
  entries.set("tokenizer.ggml.tokens", { type: "texts", value: tokens });
  if (parts.scores) entries.set("tokenizer.ggml.scores", { type: "f32s", value: parts.scores });
  entries.set("tokenizer.ggml.token_type", { type: "i32s", value: types });
  if (parts.merges) entries.set("tokenizer.ggml.merges", { type: "texts", value: parts.merges });
  addSpecial(entries, files, source);
  if (parts.spacePrefix !== undefined) entries.set("tokenizer.ggml.add_space_prefix", bool(parts.spacePrefix));
  addTemplates(entries, files);
}

function jsonOf(files: Files, name: string): JsonObject | undefined {
  const bytes = files.get(name);
  if (bytes === undefined) return undefined;
  const { value } = parseJson(decodeText(bytes, name), name);
  return isObject(value) ? value : undefined;
}

/** Tokens by id with their types; ids of the model that no token has are marked as unused. */
function tokensOf(definition: JsonObject, model: JsonObject, rows: number) {
  const byId = new Map<number, string>();
  const put = (id: Json | undefined, token: string) => {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) {
      throw new UserError(`tokenizer.json: ${show(token)} has no whole number as id`, "mend the file");
    }
    if (id >= rows) {
      throw new UserError(
        `tokenizer.json: ${show(token)} has the id ${id}, but the model has ${rows} tokens`,
        "a GGUF file has as many tokens as its embedding has rows; take the tokenizer of this model",
      );
    }
    byId.set(id, token);
  };
  for (const [token, id] of Object.entries(isObject(model.vocab) ? model.vocab : {})) put(id, token);
  const added = (Array.isArray(definition.added_tokens) ? definition.added_tokens : []).filter((one) => isObject(one));
  for (const { id, content } of added) put(id, String(content));
  const tokens = Array.from({ length: rows }, (_, id) => byId.get(id) ?? `[PAD${id}]`);
  if (new Set(tokens).size !== rows) throw noForm("two of its tokens have the same text");
  const types = tokens.map((_, id) => (byId.has(id) ? TOKEN_TYPE.normal : TOKEN_TYPE.unused) as number);
  for (const { id, special } of added) types[Number(id)] = special === true ? TOKEN_TYPE.control : TOKEN_TYPE.user;
  return { tokens, types };
}

/** The text of a special token as tokenizer_config.json has it: a string, or an object with `content`. */
function contentOf(value: Json | undefined): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}

/** Ids of special tokens, and whether the first and last are put around a text. */
function addSpecial(entries: GgufEntries, files: Files, { definition, tokens, warn }: TokenizerSource): void {
  const settings = jsonOf(files, "tokenizer_config.json") ?? {};
  const map = jsonOf(files, "special_tokens_map.json") ?? {};
  const config = jsonOf(files, "config.json") ?? {};
  const generation = jsonOf(files, "generation_config.json") ?? {};
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const stated = (key: string) =>
    [config[key], generation[key]].flat().filter((id): id is number => typeof id === "number" && id in tokens);
  const found: Record<string, number> = {};
  for (const [which, name] of Object.entries(SPECIAL)) {
    const token = contentOf(settings[`${which}_token`]) ?? contentOf(map[`${which}_token`]);
    const id = (token === undefined ? undefined : ids.get(token)) ?? stated(`${which}_token_id`)[0];
    if (id === undefined) continue;
    found[which] = id;
    entries.set(`tokenizer.ggml.${name}_token_id`, u32(id));
  }
  const [eot, eom, ...more] = [...new Set(stated("eos_token_id"))].filter((id) => id !== found.eos);
  if (eot !== undefined) entries.set("tokenizer.ggml.eot_token_id", u32(eot));
  if (eom !== undefined) entries.set("tokenizer.ggml.eom_token_id", u32(eom));
  if (more.length > 0) {
    const rest = more.map((id) => show(tokens[id]!)).join(", ");
    warn(`a GGUF file names three tokens that end an answer; ${rest} of generation_config.json is left out`);
  }
  const around = surroundings(definition.post_processor);
  for (const [which, key] of [
    ["bos", "before"],
    ["eos", "after"],
  ] as const) {
    const said = settings[`add_${which}_token`];
    const id = found[which];
    const adds = typeof said === "boolean" ? said : id !== undefined && around[key].includes(tokens[id]!);
    entries.set(`tokenizer.ggml.add_${which}_token`, bool(adds && id !== undefined));
    const odd = around[key].filter((token) => id === undefined || token !== tokens[id]);
    if (odd.length > 0) {
      warn(`the tokenizer puts ${odd.map(show).join(" ")} ${key} a text, which a GGUF file cannot say`);
    }
  }
}

/** Special tokens that the post-processor puts before and after one text. */
function surroundings(processor: Json | undefined): { before: string[]; after: string[] } {
  const found = { before: [] as string[], after: [] as string[] };
  if (!isObject(processor)) return found;
  if (processor.type === "Sequence" && Array.isArray(processor.processors)) {
    for (const part of processor.processors) {
      const { before, after } = surroundings(part);
      found.before.push(...before);
      found.after.push(...after);
    }
  }
  if (processor.type !== "TemplateProcessing" || !Array.isArray(processor.single)) return found;
  let side: "before" | "after" = "before";
  for (const part of processor.single) {
    if (!isObject(part)) continue;
    if (isObject(part.SpecialToken)) found[side].push(String(part.SpecialToken.id));
    else side = "after";
  }
  return found;
}

/** The chat template; named ones beside the default under their names. */
function addTemplates(entries: GgufEntries, files: Files): void {
  const templates = new Map<string, string>();
  const own = jsonOf(files, "tokenizer_config.json")?.chat_template;
  const add = (value: Json | undefined) => {
    if (typeof value === "string") templates.set("default", value);
    for (const one of Array.isArray(value) ? value : []) {
      if (isObject(one) && typeof one.name === "string" && typeof one.template === "string") {
        templates.set(one.name, one.template);
      }
    }
  };
  add(own);
  add(jsonOf(files, "chat_template.json")?.chat_template);
  const file = files.get("chat_template.jinja");
  if (file !== undefined) templates.set("default", decodeText(file, "chat_template.jinja"));
  const named = [...templates.keys()].filter((name) => name !== "default");
  if (named.length > 0) entries.set("tokenizer.chat_templates", { type: "texts", value: named });
  for (const name of named) {
    entries.set(`tokenizer.chat_template.${name.replaceAll(/[^A-Za-z0-9_]/g, "_")}`, text(templates.get(name)!));
  }
  const plain = templates.get("default");
  if (plain !== undefined) entries.set("tokenizer.chat_template", text(plain));
}
