/**
 * Commands to a Redis server that may go away and come back: a command that gets no answer is sent again once there is
 * a connection. So each command must do the same when it is done twice.
 */
import { RedisClient } from "bun";
import { UserError } from "../../errors.ts";
import type { Address } from "./address.ts";

export interface ConnectionOptions {
  /** Seconds for which the server may be away. */
  readonly wait: number;
  readonly signal: AbortSignal;
  readonly warn: (text: string) => void;
}

/** What a server answered that it does not do. */
export class Refusal extends Error {}

/** Answers of a server that is starting or has no room for a moment. */
const PASSING = /^(LOADING|BUSY |TRYAGAIN|CLUSTERDOWN|MASTERDOWN)/;

/** Whether something listens there at all. */
async function listens({ host, port }: Address): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: host, port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

export class Connection {
  readonly #address: Address;
  readonly #options: ConnectionOptions;
  #client: RedisClient | undefined;
  /** How often the server was lost and found again. */
  returns = 0;

  private constructor(address: Address, options: ConnectionOptions) {
    this.#address = address;
    this.#options = options;
  }

  /** Throws UserError where there is no server, or one that does not let us in. */
  static async open(address: Address, options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(address, options);
    try {
      await connection.#connect();
      return connection;
    } catch {
      connection.close();
      const { told, tls } = address;
      if (!(await listens(address)))
        throw new UserError(`no Redis server answers at ${told}`, "start redis-server, with appendonly");
      throw new UserError(
        `the server at ${told} does not let this run in`,
        tls
          ? "its password or its name is another, or its certificate is by an authority that NODE_EXTRA_CA_CERTS does not name"
          : "its password or its name is another, or it is no Redis server",
      );
    }
  }

  async #connect(): Promise<RedisClient> {
    const client = new RedisClient(this.#address.url, {
      ...{ autoReconnect: false, enableOfflineQueue: false, connectionTimeout: 5000 },
      ...(this.#address.tls ? { tls: true } : {}),
    });
    try {
      await client.connect();
      await client.send("PING", []);
    } catch (error) {
      client.close();
      throw error;
    }
    this.#client = client;
    return client;
  }

  /** Runs until it gets an answer. Throws Refusal where that is an error, UserError where the server stays away. */
  async #persist<T>(action: (client: RedisClient) => Promise<T>): Promise<T> {
    const { wait, signal, warn } = this.#options;
    let away: number | undefined;
    for (let pause = 50; ; pause = Math.min(2000, 2 * pause)) {
      signal.throwIfAborted();
      try {
        const client = this.#client ?? (await this.#connect());
        if (away !== undefined) this.returns++;
        if (away !== undefined) warn(`Redis is back after ${((performance.now() - away) / 1000).toFixed(1)} s`);
        away = undefined;
        return await action(client);
      } catch (error) {
        const text = error instanceof Error ? error.message : "";
        const isAnswer = error instanceof Error && "code" in error && error.code === "ERR_REDIS_SERVER_ERROR";
        if (isAnswer && !PASSING.test(text)) throw new Refusal(text);
        this.#client?.close();
        this.#client = undefined;
        if (away === undefined) warn(`Redis at ${this.#address.told} is away; waiting for it up to ${wait} s`);
        away ??= performance.now();
        if (performance.now() - away > 1000 * wait)
          throw new UserError(
            `Redis at ${this.#address.told} has been away for ${wait} s`,
            "start it again with its data, and give the same command: the run goes on",
            1,
          );
        await Bun.sleep(pause);
      }
    }
  }

  send(command: string, ...args: readonly (string | number)[]): Promise<unknown> {
    return this.#persist((client) => client.send(command, args.map(String)));
  }

  put(key: string, bytes: Uint8Array): Promise<unknown> {
    return this.#persist((client) => client.set(key, bytes));
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#persist((client) => client.getBuffer(key));
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}
