/**
 * Requests to the Hub: the token goes to the Hub and nowhere else, and every refusal becomes a line that says what to
 * do.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { RepositoryKind } from "./cache.ts";

/** What is asked for; `ref` begins every message. */
export interface Asked {
  readonly ref: string;
  readonly kind: RepositoryKind;
  readonly endpoint: string;
  readonly name: string;
  readonly revision: string;
  readonly token: string | undefined;
}

/** Where people look at the repository; files lie below. */
export const pageOf = ({ endpoint, kind, name }: Asked): string =>
  kind === "model" ? `${endpoint}/${name}` : `${endpoint}/datasets/${name}`;

/** A repository that does not have the revision. */
export class NoRevision extends UserError {}

/** A repository that is not there, or that this token may not see. */
export class NoRepository extends UserError {}

/** A server that answers a request for the rest of a file with the whole of it. */
export class RangeIgnored extends Error {}

/**
 * A fetch for the Hub's client. The client turns errors of a transfer into bare texts; `failure` is what really went
 * wrong. Tokens of any form are sent (the client insists on one prefix), only to the endpoint itself and not where it
 * redirects to.
 */
export class HubFetch {
  failure: Error | undefined;
  readonly #asked: Asked;
  readonly #refusalOf: (response: Response, asked: Asked, url: URL) => UserError;

  /** `refusal` puts answers that are none into words; that of downloads when left out. */
  constructor(asked: Asked, refusal: (response: Response, asked: Asked, url: URL) => UserError = refusalOf) {
    this.#asked = asked;
    this.#refusalOf = refusal;
  }

  readonly fetch = (async (input: string | URL, init?: RequestInit): Promise<Response> => {
    const { endpoint, token, ref } = this.#asked;
    const url = new URL(input);
    const headers = new Headers(init?.headers);
    headers.delete("authorization");
    // Compressed, a range would count other bytes than the file's.
    headers.set("accept-encoding", "identity");
    if (token !== undefined && url.origin === new URL(endpoint).origin) headers.set("authorization", `Bearer ${token}`);
    const response = await fetch(url, { ...init, headers }).catch((error: Error) => {
      throw this.#fail(
        new UserError(
          `${ref}: no answer from ${new URL(endpoint).host} (${show(error.message)})`,
          "check the network; HF_HUB_OFFLINE=1 uses what was fetched before, HF_ENDPOINT names another server",
          1,
        ),
      );
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw this.#fail(this.#refusalOf(response, this.#asked, url));
    }
    const asked = /^bytes=(\d+)-/.exec(headers.get("range") ?? "")?.[1];
    const given = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (asked !== undefined && (response.status !== 206 || given !== asked)) {
      await response.body?.cancel();
      throw this.#fail(new RangeIgnored(`asked for bytes from ${asked}, got ${given ?? "all"}`));
    }
    return response;
  }) as typeof fetch;

  #fail(error: Error): Error {
    this.failure = error;
    return error;
  }
}

/**
 * The Hub's error codes are in `X-Error-Code`; without a right to see a repository it answers 401, whether there is one
 * or not.
 */
function refusalOf(response: Response, asked: Asked, url: URL): UserError {
  const { ref, endpoint, name, revision, token } = asked;
  const code = response.headers.get("x-error-code");
  const { status } = response;
  const noun = asked.kind === "model" ? "model" : "data set";
  if (code === "GatedRepo") {
    return new UserError(
      `${ref}: ${name} is gated, and ${token === undefined ? "no token was sent" : "the account of this token has no access"}`,
      `accept the licence on ${pageOf(asked)}, then set HF_TOKEN to a token of that account`,
    );
  }
  if (code === "RevisionNotFound") {
    return new NoRevision(
      `${ref}: ${name} has no revision ${show(revision)}`,
      "expected a branch, a tag or a full commit",
    );
  }
  if (code === "EntryNotFound") {
    const file = decodeURIComponent(/\/(?:tree|resolve)\/[^/]+\/(.*)$/.exec(url.pathname)?.[1] ?? "");
    return new UserError(
      `${ref}: ${name} at ${show(revision)} has no file or folder ${show(file)}`,
      `see ${pageOf(asked)}/tree/${revision}`,
    );
  }
  if (status === 401 || code === "RepoNotFound" || status === 404) {
    return new NoRepository(
      `${ref}: there is no ${noun} ${name} at ${show(revision)} on ${new URL(endpoint).host}, or it is private`,
      token === undefined
        ? `check the spelling; for a private or gated ${noun} set HF_TOKEN`
        : "check the spelling, and that the account of HF_TOKEN may read it",
    );
  }
  if (status === 403) {
    return new UserError(
      `${ref}: ${name} may not be read${token === undefined ? "" : " with this token"}`,
      `see ${pageOf(asked)}: its licence may have to be accepted; set HF_TOKEN to a token that can read it`,
    );
  }
  if (status === 429) {
    return new UserError(
      `${ref}: ${new URL(endpoint).host} refuses more requests for now`,
      "run again in a few minutes",
      1,
    );
  }
  return new UserError(
    `${ref}: ${new URL(endpoint).host} answered ${status} to ${show(url.pathname)}`,
    "the server failed; run again later, what was fetched is kept",
    1,
  );
}
