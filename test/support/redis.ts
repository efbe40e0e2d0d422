/** A Redis server of a test's own, in a temporary folder, where there is a redis-server. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";

const PROGRAM = Bun.which("redis-server", { PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` });

/** Undefined where there is one, else why tests are skipped. */
export const noRedis = PROGRAM === null ? "redis-server is not installed" : undefined;

/** Undefined where a server can take TLS, else why tests of that are skipped. */
export const noTls = noRedis ?? (Bun.which("openssl") === null ? "openssl is not installed" : undefined);

function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}

/** Its password: what no output may hold. */
export const PASSWORD = "pass-word:of@this/test";

/** A certificate for this machine, by an authority of the test's own, in a folder. */
function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => {
    const { success, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: folder, stderr: "pipe" });
    if (!success) throw new Error(`openssl ${args[0]}: ${stderr}`);
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=authority of a test",
  );
  openssl("req", ...key, "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=localhost");
  writeFileSync(join(folder, "names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  openssl("x509", "-req", "-in", "own.csr", "-out", "own.pem", ...signed);
}

export class TestRedis {
  readonly #tls: boolean;
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-redis-"));
  readonly port = freePort();
  #child: ReturnType<typeof Bun.spawn> | undefined;

  /** `tls`: it takes nothing but TLS; needs openssl. */
  constructor({ tls = false }: { readonly tls?: boolean } = {}) {
    this.#tls = tls;
  }

  /** Who signed its certificate. */
  get authority(): string {
    return join(this.folder, "ca.pem");
  }

  /** Starts it, with what it kept if it was there before. */
  async start(): Promise<void> {
    if (this.#tls && !existsSync(this.authority)) makeCertificates(this.folder);
    const files = ["--tls-cert-file", "own.pem", "--tls-key-file", "own.key", "--tls-ca-cert-file", "ca.pem"];
    const ports = this.#tls
      ? ["--port", "0", "--tls-port", `${this.port}`, ...files, "--tls-auth-clients", "no"]
      : ["--port", `${this.port}`];
    const options = [...ports, "--bind", "127.0.0.1", "--dir", this.folder, "--requirepass", PASSWORD];
    this.#child = Bun.spawn([PROGRAM!, ...options, "--appendonly", "yes", "--appendfsync", "always", "--save", ""], {
      cwd: this.folder,
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
    const tls = this.#tls ? { tls: { ca: readFileSync(this.authority, "utf8") } } : {};
    return new RedisClient(this.url(""), { autoReconnect: false, enableOfflineQueue: false, ...tls });
  }

  url(run: string, password = PASSWORD): string {
    const scheme = this.#tls ? "rediss" : "redis";
    return `${scheme}://:${encodeURIComponent(password)}@127.0.0.1:${this.port}/${run}`;
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
