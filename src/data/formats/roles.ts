/** Who speaks, by all names that collections of conversations use. */

const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  prompter: "user",
  gpt: "assistant",
  assistant: "assistant",
  chatgpt: "assistant",
  bot: "assistant",
  chatbot: "assistant",
  ai: "assistant",
  model: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool",
};

/** Names that are understood, as written. */
export const KNOWN_ROLES: readonly string[] = Object.keys(ROLES);

/** The role that templates know, in any case of letters; undefined for a name that no collection uses. */
export function roleOf(name: string): string | undefined {
  const plain = name.toLowerCase();
  return Object.hasOwn(ROLES, plain) ? ROLES[plain] : undefined;
}

/**
 * The role of a message: user and assistant by all their names. Tools have roles of their own in some templates, and
 * stay as they are.
 */
export function speakerOf(role: string): string {
  const known = roleOf(role);
  return known === undefined || known === "tool" ? role : known;
}
