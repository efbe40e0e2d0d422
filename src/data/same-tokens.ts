/** Whether two models mean the same by the ids of their tokens. */

export interface Speaker {
  readonly ref: string;
  /** Rows of its head; some may be padding. */
  readonly outputs: number;
  readonly files: ReadonlyMap<string, Uint8Array> | undefined;
}

/** Why ids of one model cannot be taken for those of another. */
export interface Clash {
  /** "tokens": an id has two meanings, or one model has tokens that the other lacks. "unknown": nothing says so. */
  readonly kind: "tokens" | "unknown";
  readonly message: string;
}

/** Tokens of tokenizer.json by id, those that it lists. */
function tokensOf(files: Speaker["files"]): Map<number, string> | undefined {
  const bytes = files?.get("tokenizer.json");
  if (!bytes) return undefined;
  const found = new Map<number, string>();
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes));
    const vocab = json.model?.vocab ?? {};
    if (Array.isArray(vocab)) for (const [id, [token]] of vocab.entries()) found.set(id, token);
    else for (const [token, id] of Object.entries(vocab)) found.set(id as number, token);
    for (const { id, content } of json.added_tokens ?? []) found.set(id, content);
  } catch {
    return undefined;
  }
  return found;
}

/** Undefined where the outputs that both have mean the same, and those that one alone has are padding. */
export function tokenClash(a: Speaker, b: Speaker): Clash | undefined {
  const common = Math.min(a.outputs, b.outputs);
  const differ = a.outputs !== b.outputs;
  const [ours, theirs] = [tokensOf(a.files), tokensOf(b.files)];
  if (!ours || !theirs) {
    if (!differ) return undefined;
    const message = `${a.ref} has ${a.outputs} outputs, ${b.ref} ${b.outputs}, and one of them has no tokenizer to compare`;
    return { kind: "unknown", message };
  }
  for (const [id, token] of ours) {
    const other = theirs.get(id);
    if (other === undefined || other === token) continue;
    const message = `token ${id} is ${JSON.stringify(token)} to ${a.ref} and ${JSON.stringify(other)} to ${b.ref}`;
    return { kind: "tokens", message };
  }
  const beyond = new Set([...ours.keys(), ...theirs.keys()].filter((id) => id >= common));
  if (!differ || beyond.size === 0) return undefined;
  const message = `${a.ref} has ${a.outputs} outputs, ${b.ref} ${b.outputs}, and ${beyond.size} tokens lie beyond ${common}`;
  return { kind: "tokens", message };
}
