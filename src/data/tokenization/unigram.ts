/**
 * Unigram: the pieces of a word whose scores sum highest. Kudo 2018, https://arxiv.org/abs/1804.10959; ties, the score
 * of unknown characters and their fusing follow the library `tokenizers` (src/models/unigram/model.rs).
 */
import { UserError } from "../../errors.ts";
import type { Json, JsonObject } from "../../json.ts";
import type { Reading, TokenModel } from "./definition.ts";

/** How much less than the lowest score an unknown character has. */
const UNKNOWN_PENALTY = 10;

interface Trie {
  readonly next: Map<string, Trie>;
  id?: number;
}

/** Reads `vocab` (a list of piece and score), `unk_id` and `byte_fallback`. Throws UserError. */
export function unigram({ vocab, unk_id, byte_fallback }: JsonObject, { place }: Reading): TokenModel {
  const entries = (Array.isArray(vocab) ? vocab : []).map((entry, i) => entryOf(entry, i, place));
  const unknown = typeof unk_id === "number" ? unk_id : undefined;
  if (entries.length === 0 || (unknown !== undefined && unknown >= entries.length))
    throw new UserError(
      `${place}: model.vocab has ${entries.length} pieces, unk_id is ${unk_id}`,
      "the file is damaged",
    );
  const vocabulary = new Map(entries.map(({ piece }, id) => [piece, id]));
  const scores = entries.map(({ score }) => score);
  const root: Trie = { next: new Map() };
  for (const [piece, id] of vocabulary) insert(root, piece, id);
  const lowest = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY) - UNKNOWN_PENALTY;
  const fallback = byte_fallback === true;
  return {
    vocabulary,
    encode(word) {
      const characters = [...word];
      return fused(characters, bestPath(characters, root, scores, lowest)).flatMap(({ text, id }) => {
        if (id !== undefined) return [id];
        const known = vocabulary.get(text);
        if (known !== undefined) return [known];
        const bytes = fallback ? bytesOf(text, vocabulary) : undefined;
        if (bytes) return bytes;
        if (unknown === undefined)
          throw new UserError(`${place}: ${JSON.stringify(text)} is no token, and there is no unknown token`);
        return [unknown];
      });
    },
  };
}

function entryOf(entry: Json, i: number, place: string): { piece: string; score: number } {
  const [piece, score] = Array.isArray(entry) ? entry : [];
  if (typeof piece !== "string" || typeof score !== "number")
    throw new UserError(`${place}: piece ${i} of model.vocab should be a text and a score`, "the file is damaged");
  return { piece, score };
}

function insert(root: Trie, piece: string, id: number): void {
  let node = root;
  for (const character of piece) {
    let next = node.next.get(character);
    if (next === undefined) {
      next = { next: new Map() };
      node.next.set(character, next);
    }
    node = next;
  }
  node.id = id;
}

/** Where the best path comes from, for every end; `id` is absent for an unknown character. */
interface Step {
  readonly from: number;
  readonly score: number;
  readonly id: number | undefined;
}

function bestPath(characters: readonly string[], root: Trie, scores: readonly number[], unknown: number): Step[] {
  const best: (Step | undefined)[] = [{ from: 0, score: 0, id: undefined }];
  const offer = (end: number, step: Step) => {
    if (best[end] === undefined || step.score > best[end]!.score) best[end] = step;
  };
  for (let from = 0; from < characters.length; from++) {
    const { score } = best[from]!;
    let isCovered = false;
    let node: Trie | undefined = root;
    for (let end = from; end < characters.length; end++) {
      node = node.next.get(characters[end]!);
      if (node === undefined) break;
      if (node.id === undefined) continue;
      offer(end + 1, { from, score: score + scores[node.id]!, id: node.id });
      if (end === from) isCovered = true;
    }
    if (!isCovered) offer(from + 1, { from, score: score + unknown, id: undefined });
  }
  return best as Step[];
}

/** The texts along the path; neighbours that are unknown are one text. */
function fused(characters: readonly string[], best: readonly Step[]): { text: string; id: number | undefined }[] {
  const parts: { text: string; id: number | undefined }[] = [];
  for (let end = characters.length; end > 0; end = best[end]!.from) {
    const { from, id } = best[end]!;
    const text = characters.slice(from, end).join("");
    const after = parts.at(-1);
    if (id === undefined && after && after.id === undefined) parts[parts.length - 1] = { text: text + after.text, id };
    else parts.push({ text, id });
  }
  return parts.reverse();
}

/** The tokens <0x..> of a text, if all are there. */
function bytesOf(text: string, vocabulary: ReadonlyMap<string, number>): number[] | undefined {
  const ids = Array.from(new TextEncoder().encode(text), (byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
  );
  return ids.every((id) => id !== undefined) ? ids : undefined;
}
