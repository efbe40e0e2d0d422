/**
 * SentencePiece's BPE as GGUF metadata: pieces with scores, from the merges of tokenizer.json.
 *
 * SentencePiece joins the neighbours whose union scores best. The order in which pieces first come out of the list of
 * merges is that of their scores: -1 for the first, -2 for the next, and so on. Whether the scores give the very same
 * list back is checked, since merges of another origin need not.
 */
import { isObject, type Json, type JsonObject } from "../../../json.ts";
import { scoredMerges } from "../scored-merges.ts";
import { TOKEN_TYPE } from "../tokenizer.ts";
import { mergesOf, noForm, type TokenizerParts, type TokenizerSource } from "./tokenizer-parts.ts";

const SPACE = "\u2581";

/** Undefined for a tokenizer of another kind. Throws UserError where one of this kind does what GGUF cannot say. */
export function sentencePieceParts(source: TokenizerSource): TokenizerParts | undefined {
  const { definition, model, tokens, types, warn } = source;
  const spaces = spacesOf(definition, warn);
  if (spaces === undefined) return undefined;
  for (const [id, token] of tokens.entries()) {
    if (/^<0x[0-9A-F]{2}>$/.test(token) && types[id] === TOKEN_TYPE.normal) types[id] = TOKEN_TYPE.byte;
  }
  const unknown = tokens.indexOf(String(model.unk_token));
  if (unknown >= 0) types[unknown] = TOKEN_TYPE.unknown;
  const merges = mergesOf(model);
  const scores = scoresOf(tokens, types, merges);
  const again = scoredMerges(tokens, scores, (id) => types[id] === TOKEN_TYPE.normal);
  const same =
    again?.length === merges.length && again.every(([left, right], i) => merges[i]!.join(" ") === `${left} ${right}`);
  if (!same) {
    warn("the tokenizer's merges are not those that scores give: llama.cpp may cut some texts another way");
  }
  return { model: "llama", pre: "default", scores, spacePrefix: spaces === "prefix" };
}

/** Scores by id: pieces in the order of their merges, then those that no merge makes; 0 for tokens of other types. */
function scoresOf(tokens: readonly string[], types: readonly number[], merges: readonly [string, string][]): number[] {
  const rank = new Map<string, number>();
  for (const [left, right] of merges) if (!rank.has(left + right)) rank.set(left + right, rank.size + 1);
  let last = rank.size;
  return tokens.map((token, id) => {
    if (types[id] !== TOKEN_TYPE.normal) return 0;
    return -(rank.get(token) ?? ++last);
  });
}

/** Whether spaces are the sign U+2581, and one stands before a text. */
function spacesOf(definition: JsonObject, warn: (message: string) => void): "prefix" | "plain" | undefined {
  const normalizers = partsOf(definition.normalizer, "normalizers");
  const cuts = partsOf(definition.pre_tokenizer, "pretokenizers");
  const replaces = ({ type, pattern, content }: JsonObject) =>
    type === "Replace" && isObject(pattern) && pattern.String === " " && content === SPACE;
  const prepends = ({ type, prepend }: JsonObject) => type === "Prepend" && prepend === SPACE;
  const [cut] = cuts;
  if (cuts.length === 1 && cut!.type === "Metaspace" && (cut!.replacement ?? SPACE) === SPACE && cut!.split === false) {
    if (normalizers.length > 0) throw noForm("it changes text before it cuts it");
    const scheme = String(cut!.prepend_scheme ?? (cut!.add_prefix_space === false ? "never" : "always"));
    if (scheme === "first") {
      warn("llama.cpp puts a space after special tokens too, and this tokenizer only before a text");
    }
    return scheme === "never" ? "plain" : "prefix";
  }
  if (!normalizers.some(replaces)) return undefined;
  // Gemma's: a cut at spaces, of which none is left.
  const inert = ({ type, pattern }: JsonObject) => type === "Split" && isObject(pattern) && pattern.String === " ";
  if (!cuts.every(inert) || normalizers.some((one) => !replaces(one) && !prepends(one))) {
    throw noForm("it changes text before it cuts it");
  }
  return normalizers.some(prepends) ? "prefix" : "plain";
}

/** The parts of a normalizer or pre-tokenizer: those of a sequence, or itself. */
function partsOf(value: Json | undefined, key: "normalizers" | "pretokenizers"): JsonObject[] {
  if (!isObject(value)) return [];
  const parts = value.type === "Sequence" ? value[key] : [value];
  return Array.isArray(parts) ? parts.filter((part) => isObject(part)) : [];
}
