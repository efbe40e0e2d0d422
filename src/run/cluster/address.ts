/** Where a run is: a Redis server, and a name on it. The password leaves this file for the connection alone. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";

export interface Address {
  /** Of the run: letters, digits, `-`, `_` and `.`. */
  readonly run: string;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** With name and password, for the client; never for a message. */
  readonly url: string;
  /** "" where there is none. */
  readonly password: string;
  /** For messages: without name and password. */
  readonly told: string;
}

const HINT = "for example redis://:PASSWORD@localhost:6379/my-run, or rediss:// for TLS";

/** Throws UserError, which does not repeat what may hold a password. */
export function parseAddress(text: string, flag = "--cluster"): Address {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UserError(`${flag} is no URL`, HINT);
  }
  if (url.protocol !== "redis:" && url.protocol !== "rediss:")
    throw new UserError(`${flag}: ${show(url.protocol)}// is no Redis server`, HINT);
  const run = url.pathname.slice(1);
  if (!/^[\w.-]{1,100}$/.test(run))
    throw new UserError(
      `${flag}: ${run === "" ? "no run is named" : `${show(run)} is no name of a run`} after the server`,
      HINT,
    );
  const tls = url.protocol === "rediss:";
  const port = url.port === "" ? 6379 : Number(url.port);
  const login = url.username === "" && url.password === "" ? "" : `${url.username}:${url.password}@`;
  return {
    ...{ run, host: url.hostname, port, tls },
    url: `${url.protocol}//${login}${url.hostname}:${port}`,
    password: decodeURIComponent(url.password),
    told: `${url.protocol}//${url.hostname}:${port}/${run}`,
  };
}
