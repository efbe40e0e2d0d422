/** A Redis server of a test's own, in a temporary folder, where there is a redis-server. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";

const PROGRAM = Bun.which("redis-server", { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` });

/** Undefined where there is one, else why tests are skipped. */
export const noRedis = PROGRAM === null ? "redis-server is not installed" : undefined;

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

/** Its password: what no output may hold. */
export const PASSWORD = "pass-word:of@this/test";

export class TestRedis {
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-redis-"));
  readonly port = freePort();
  #child: ReturnType<typeof Bun.spawn> | undefined;

  /** Starts it, with what it kept if it was there before. */
  async start(): Promise<void> {
    const options = ["--port", `${this.port}`, "--bind", "127.0.0.1", "--dir", this.folder, "--requirepass", PASSWORD];
    this.#child = Bun.spawn([PROGRAM!, ...options, "--appendonly", "yes", "--appendfsync", "always", "--save", ""], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    for (let attempt = 0; attempt < 100; attempt++) {
      const client = this.client();
      try {
        await client.connect();
        await client.send("PING", []);
        return client.close();
      } catch {
        client.close();
        await Bun.sleep(20);
      }
    }
    throw new Error("redis-server does not start");
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  client(): RedisClient {
    const url = `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.port}`;
    return new RedisClient(url, { autoReconnect: false, enableOfflineQueue: false });
  }

  url(run: string, password = PASSWORD): string {
    return `redis://:${encodeURIComponent(password)}@127.0.0.1:${this.port}/${run}`;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
