/**
 * What `doctor` prints: what a bug report needs, and why a GPU is not used. Reads its options by hand and loads no
 * package.
 */
import { UserError } from "../errors.ts";
import { withSnakeKeys } from "../json.ts";
import { installDependencies } from "./dependencies.ts";
import { type Diagnosis, diagnose } from "./diagnose.ts";
import { describeAdapter, ensureAdapter } from "./driver.ts";
import { say } from "./run.ts";
import { reportFailure } from "./setup.ts";

const HELP = `Print what a bug report needs, and why a GPU is not used

  bun run doctor [--fix] [--json]

  --fix        install what is missing: packages, and a software Vulkan driver where no adapter answers
  --json       print everything as JSON
  -h, --help   this text

Exit code 0 when an adapter answered and computed right, 1 otherwise.
`;

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const;

const PACKAGES: Readonly<Record<Diagnosis["packages"], string>> = {
  installed: "installed",
  runtime: "installed, without those of tests",
  "out of date": "out of date: run bun install",
  missing: "missing: run bun install",
};

const GIB = 2 ** 30;
const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;
const ms = (value: number | undefined): string => (value === undefined ? "?" : `${value.toFixed(0)} ms`);

/** A titled table of names and values; nothing when it has no rows. */
function section(title: string, rows: readonly (readonly [string, string])[]): string {
  if (rows.length === 0) return "";
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${title}\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`.trimEnd()).join("\n")}\n\n`;
}

function report(found: Diagnosis): string {
  const { check } = found;
  const adapter = check.adapter;
  const { memoryBytes, freeMemoryBytes, ...system } = found.system;
  const others = (check.adapters ?? []).filter((other) => other.description !== adapter?.description);
  const pipes: (readonly [string, string])[] =
    process.platform === "win32"
      ? [["pipes", "PowerShell before 7.4 changes the bytes in a pipe: use cmd, PowerShell 7.4 or later, or -o FILE"]]
      : [];
  return [
    section("versions", Object.entries(found.versions)),
    section(
      "WebGPU",
      found.providers.map(({ name, version, asked }) => [name, `${version}${asked ? ", asked" : ""}`] as const),
    ),
    section("system", [
      ...Object.entries(system).map(([name, value]) => [name, String(value)] as const),
      ["memory", `${gib(Number(memoryBytes))}, ${gib(Number(freeMemoryBytes))} free`],
      ...Object.entries(found.freeBytes).map(([name, bytes]) => [`disk, ${name}`, `${gib(bytes)} free`] as const),
      ["packages", PACKAGES[found.packages]],
      ...pipes,
    ]),
    section("adapter", [
      ["in use", describeAdapter(check)],
      ...others.map((other) => ["other", describeAdapter({ adapter: other })] as const),
      ["null", "refused: that backend of Dawn accepts every call and computes nothing"],
      ...(adapter
        ? ([
            [
              "kernel",
              check.error ?? `right; device after ${ms(check.openMs)}, kernel after another ${ms(check.kernelMs)}`,
            ],
            [
              "memory",
              (check.heaps ?? []).map((h) => `${gib(h.bytes)}${h.deviceLocal ? "" : " (host)"}`).join(", ") ||
                "unknown",
            ],
            ...LIMITS.map((name) => [name, String(adapter.limits[name])] as const),
            ["features", adapter.features.join(" ")],
          ] as const)
        : ([["error", check.error ?? "none answered"]] as const)),
    ]),
    section(
      "Vulkan",
      process.platform === "linux"
        ? [
            ["loader", found.loader ? "found" : "none on this system"],
            ...found.drivers.map(
              ({ manifest, answer }) => [manifest, answer.adapter ? describeAdapter(answer) : "no adapter"] as const,
            ),
            ["GPUs on the bus", found.hardware.vendors.join(", ") || "none"],
            [
              "device files",
              found.hardware.nodes.map((n) => `${n.path}${n.usable ? "" : " (closed)"}`).join(" ") || "none",
            ],
          ]
        : [],
    ),
    section("environment", Object.entries(found.environment)),
    section(
      "cache",
      found.cache.map((folder) => [folder, ""] as const),
    ),
    section(
      "advice",
      found.advice.map((line) => ["-", line] as const),
    ),
    found.ok ? "An adapter answers and computes right.\n" : "No adapter can be used.\n",
  ].join("");
}

/** Hold names of others: packages, variables of the environment, limits of WebGPU. */
const NAMES = ["versions", "environment", "limits"];

/**
 * Runs `doctor` with its arguments; returns the exit code: 0 when an adapter answered and computed right. Throws
 * UserError.
 */
export async function doctor(args: readonly string[]): Promise<number> {
  // `--help all`, as of the scripts whose help is longer, is the same help.
  const isAll = (arg: string, at: number) => arg === "all" && ["--help", "-h"].includes(args[at - 1] ?? "");
  const unknown = args.find((arg, at) => !["--fix", "--json", "--help", "-h"].includes(arg) && !isAll(arg, at));
  if (unknown) throw new UserError(`Unknown option ${unknown}`, "bun run doctor --help lists the options");
  if (args.includes("--help") || args.includes("-h")) {
    process.stdout.write(HELP);
    return 0;
  }
  let failure: number | undefined;
  if (args.includes("--fix")) {
    try {
      await installDependencies(say, "runtime");
      await ensureAdapter(say);
    } catch (error) {
      // What was found is printed all the same: it is what the report is for.
      failure = reportFailure("doctor", error);
    }
  }
  const found = await diagnose();
  process.stdout.write(
    args.includes("--json") ? `${JSON.stringify(withSnakeKeys(found, NAMES), null, 2)}\n` : report(found),
  );
  return failure ?? (found.ok ? 0 : 1);
}
