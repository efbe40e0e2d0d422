/** The client that OpenAI publishes, as far as tests use it; undefined where it is not installed. */

interface Options {
  readonly baseURL: string;
  readonly apiKey: string;
  readonly maxRetries?: number;
}

interface Completion {
  readonly choices: readonly { readonly text: string; readonly finish_reason: string | null }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

interface ChatPart {
  readonly content?: string | null;
  readonly role?: string;
}

interface Chat {
  readonly choices: readonly {
    readonly index: number;
    readonly message: ChatPart;
    readonly finish_reason: string;
    readonly logprobs: {
      readonly content: readonly { token: string; logprob: number; top_logprobs: readonly object[] }[];
    } | null;
  }[];
  readonly usage: { readonly completion_tokens: number };
}

interface ChatChunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta: ChatPart;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** A stream of parts that can be broken off. */
type Stream<T> = AsyncIterable<T> & { readonly controller: AbortController };
type Streaming = Record<string, unknown> & { readonly stream: true };

interface Create<Whole, Part> {
  (body: Streaming): Promise<Stream<Part>>;
  (body: Record<string, unknown>): Promise<Whole>;
}

export interface OpenAIClient {
  readonly models: { list(): Promise<{ readonly data: readonly { readonly id: string }[] }> };
  readonly completions: { readonly create: Create<Completion, Completion> };
  readonly chat: { readonly completions: { readonly create: Create<Chat, ChatChunk> } };
}

/** Named apart, so that types can be checked where it is not installed. */
const PACKAGE = "openai";

const isInstalled = (() => {
  try {
    return Bun.resolveSync(PACKAGE, import.meta.dir) !== "";
  } catch {
    return false;
  }
})();

const found: { readonly default: new (options: Options) => OpenAIClient } | undefined = isInstalled
  ? await import(PACKAGE)
  : undefined;

export const OpenAI = found?.default;
