/**
 * Which software Vulkan driver suits a machine on which no adapter answered: a pure decision, so that it can be tested.
 */
import { majorVersion } from "./apt-policy.ts";

/** What is known of a machine. The two versions are only looked up where packages can be installed. */
export interface Machine {
  readonly platform: string;
  readonly arch: string;
  readonly root: boolean;
  /** ID and ID_LIKE of /etc/os-release: ["ubuntu", "debian"]. */
  readonly distributions: readonly string[];
  readonly codename: string | undefined;
  /** Whether apt-get is on the machine. */
  readonly apt: boolean;
  /** Version of Mesa's Vulkan drivers that apt would install by itself, and the one in the release's backports. */
  readonly aptCandidate?: string | undefined;
  readonly backports?: string | undefined;
}

export type Driver =
  /** `release` is the suite that apt must prefer, where its own choice is too old. */
  | { readonly route: "mesa"; readonly version: string; readonly release: string | undefined }
  | { readonly route: "swiftshader"; readonly why: string }
  | { readonly route: "none"; readonly why: string; readonly advice: string };

/** The lavapipe of Mesa 22.3 gives Dawn no adapter; the first release known to work that distributions carry is 24. */
export const OLDEST_MESA = 24;

const recent = (version: string | undefined): version is string =>
  version !== undefined && majorVersion(version) >= OLDEST_MESA;

/** Whether packages can be looked up and installed. */
export const canUseApt = (machine: Machine): boolean =>
  machine.platform === "linux" &&
  machine.root &&
  machine.apt &&
  machine.distributions.some((name) => name === "debian" || name === "ubuntu");

export function chooseDriver(machine: Machine): Driver {
  if (machine.platform !== "linux") {
    return {
      route: "none",
      why: `there is no software driver to fetch for ${machine.platform}`,
      advice:
        machine.platform === "darwin"
          ? "Metal needs macOS on real graphics hardware, or a virtual machine that passes it through"
          : "install the graphics driver of the GPU's maker; Windows' own software adapter needs D3D12",
    };
  }
  let why = "packages can only be installed as root";
  if (canUseApt(machine)) {
    if (recent(machine.aptCandidate)) return { route: "mesa", version: machine.aptCandidate, release: undefined };
    if (recent(machine.backports) && machine.codename) {
      return { route: "mesa", version: machine.backports, release: `${machine.codename}-backports` };
    }
    const found = machine.backports ?? machine.aptCandidate;
    why = found ? `apt offers Mesa ${found}, ${OLDEST_MESA} or later is needed` : "apt offers no Mesa";
  } else if (machine.root) {
    why = "this system has no apt of Debian or Ubuntu";
  }
  if (machine.arch === "x64") return { route: "swiftshader", why };
  return {
    route: "none",
    why: `${why}, and SwiftShader is published for x64 only, not ${machine.arch}`,
    advice: `install Mesa's Vulkan drivers, ${OLDEST_MESA} or later (mesa-vulkan-drivers, vulkan-swrast), and the Vulkan loader`,
  };
}
