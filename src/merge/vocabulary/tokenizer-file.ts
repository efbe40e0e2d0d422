/** A tokenizer.json that takes up tokens of others: at new ids after its own, with the merges that make them. */
import type { TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { countTokens, vocabularyOf } from "../../data/vocabulary.ts";
import type { NamedModel } from "../../model/names.ts";

interface AddedToken {
  id: number;
  readonly content: string;
}

type Merge = string | readonly [string, string];

interface FileShape {
  added_tokens?: (AddedToken | null)[] | null;
  pre_tokenizer?: unknown;
  decoder?: unknown;
  model: {
    readonly type?: string;
    vocab: Record<string, number> | [string, number][];
    merges?: Merge[];
  };
}

const pairOf = (merge: Merge): readonly [string, string] => {
  if (typeof merge !== "string") return merge;
  const cut = merge.indexOf(" ", 1);
  return [merge.slice(0, cut), merge.slice(cut + 1)];
};

/** Sets a token of a vocabulary, be it `__proto__`. */
const put = (vocab: Record<string, number>, token: string, id: number) =>
  Object.defineProperty(vocab, token, { value: id, enumerable: true });

/** Whether text is spelled in bytes (Ġ) rather than with word marks (▁). */
const spellsBytes = ({ pre_tokenizer, decoder }: FileShape) =>
  JSON.stringify([pre_tokenizer, decoder]).includes('"ByteLevel"');

/** `model.type`, or what older files leave to be seen. */
const typeOf = ({ model }: FileShape): string =>
  model.type ?? (Array.isArray(model.vocab) ? "Unigram" : model.merges ? "BPE" : "WordPiece");

export class TokenizerFile {
  readonly #model: NamedModel;
  readonly #recipe: TokenizerRecipe;
  readonly #file: FileShape;
  readonly #tokens: Map<string, number>;
  /** The id that the next new token gets. */
  #next: number;
  #changed = false;

  /** `model` has a tokenizer.json that can be read. */
  constructor(model: NamedModel, recipe: TokenizerRecipe) {
    this.#model = model;
    this.#recipe = recipe;
    this.#file = JSON.parse(new TextDecoder().decode(model.checkpoint.files.get("tokenizer.json")!)) as FileShape;
    this.#tokens = new Map(vocabularyOf(model.checkpoint));
    this.#next = countTokens(this.#tokens);
  }

  /** Token to id, added tokens included. */
  get tokens(): ReadonlyMap<string, number> {
    return this.#tokens;
  }

  /** Whether it is no longer what the model has. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * Added tokens stand among those of the model too: the tokenizers library counts the model's tokens to number those
   * that do not, whatever id the file states.
   */
  bytes(): Uint8Array {
    const { vocab } = this.#file.model;
    if (!Array.isArray(vocab))
      for (const { content, id } of this.#beside().values())
        if (!Object.hasOwn(vocab, content)) put(vocab, content, id);
    return new TextEncoder().encode(JSON.stringify(this.#file));
  }

  /** Takes a token up that no tokenizer has, whole wherever its text stands. Throws UserError for an empty one. */
  add(content: string, special = false): void {
    if (content === "") throw this.#recipe.fail("a token of no text cannot be added", "name its text under tokens");
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special };
    this.#addBeside({ id: 0, content, ...flags });
  }

  /** Takes all tokens of another tokenizer up, in the order of their ids there. Throws UserError for another kind. */
  join(other: TokenizerFile, warnings: string[]): void {
    const [ours, theirs] = [typeOf(this.#file), typeOf(other.#file)];
    if (ours !== theirs)
      throw this.#recipe.fail(
        `the tokenizer of ${this.#model.ref} is ${ours}, that of ${other.#model.ref} ${theirs}: they have no union`,
        "choose one of them as the source: its tokens are kept, and rows of shared ones merged",
      );
    if (spellsBytes(this.#file) !== spellsBytes(other.#file))
      warnings.push(
        `${this.#model.ref} and ${other.#model.ref} spell tokens differently (Ġ and ▁): few rows will be shared`,
      );
    const [own, beside] = [this.#beside(), other.#beside()];
    const fresh = new Set<string>();
    const scores = new Map(Array.isArray(other.#file.model.vocab) ? other.#file.model.vocab : []);
    for (const [token] of [...other.#tokens].sort(([, a], [, b]) => a - b)) {
      const added = beside.get(token);
      if (added && !own.has(token)) this.#addBeside(added);
      else if (!this.#tokens.has(token)) {
        fresh.add(token);
        this.#addWithin(token, scores.get(token) ?? 0);
      }
    }
    this.#takeMerges(other.#file.model.merges ?? [], fresh);
  }

  /** Its added tokens by their texts. */
  #beside(): Map<string, AddedToken> {
    return new Map((this.#file.added_tokens ?? []).flatMap((token) => (token ? [[token.content, token]] : [])));
  }

  #newId(token: string): number {
    const id = this.#next++;
    this.#tokens.set(token, id);
    return id;
  }

  /** At a new id, or at that of the plain token of this text, which then is whole wherever its text stands. */
  #addBeside(token: AddedToken): void {
    const id = this.#tokens.get(token.content) ?? this.#newId(token.content);
    this.#file.added_tokens ??= [];
    this.#file.added_tokens.push({ ...token, id });
    this.#changed = true;
  }

  #addWithin(token: string, score: number): void {
    const { vocab } = this.#file.model;
    const id = this.#newId(token);
    this.#changed = true;
    if (!Array.isArray(vocab)) {
      put(vocab, token, id);
      return;
    }
    // A piece's id is its place: added tokens that stand behind the list come into it, out of the reach of its scores.
    if (vocab.length < id) {
      const byId = new Map([...this.#tokens].map(([text, at]) => [at, text]));
      while (vocab.length < id) vocab.push([byId.get(vocab.length) ?? `<gap_${vocab.length}>`, LEAST_SCORE]);
    }
    vocab.push([token, score]);
  }

  /** Merges that make new tokens, of parts that the model of the tokenizer has, after its own. */
  #takeMerges(merges: readonly Merge[], fresh: ReadonlySet<string>): void {
    const { merges: own, vocab } = this.#file.model;
    if (own === undefined || fresh.size === 0) return;
    const asPairs = Array.isArray(own[0] ?? merges[0]);
    for (const merge of merges) {
      const [left, right] = pairOf(merge);
      if (!fresh.has(left + right) || !Object.hasOwn(vocab, left) || !Object.hasOwn(vocab, right)) continue;
      own.push(asPairs ? [left, right] : `${left} ${right}`);
    }
  }
}

/** A log-probability that no path through the pieces of a text takes. */
const LEAST_SCORE = -1e6;
