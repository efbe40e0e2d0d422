/** Reading what `apt-cache policy` prints (in the C locale), and comparing what it says with what ingot needs. */

export interface Offer {
  readonly version: string;
  /** The archives that offer it, as "bookworm-backports/main". */
  readonly from: readonly string[];
}

export interface Policy {
  readonly installed: string | undefined;
  readonly candidate: string | undefined;
  readonly offers: readonly Offer[];
}

/** Reads the policies of the packages that one run of apt-cache was asked for, by package name. */
export function parsePolicy(text: string): Map<string, Policy> {
  const policies = new Map<string, Policy>();
  for (const block of text.split(/\n(?=\S)/)) {
    const name = /^(\S+):\s*\n/.exec(block)?.[1];
    if (!name) continue;
    const field = (label: string) => {
      const value = new RegExp(`^\\s+${label}: (\\S+)`, "m").exec(block)?.[1];
      return value === "(none)" ? undefined : value;
    };
    const offers: { version: string; from: string[] }[] = [];
    for (const line of block.split("\n")) {
      const archive = /^\s+-?\d+ \S+:\S* (\S+) \S+ Packages$/.exec(line);
      const version = /^ (?:\*\*\*|\s{3}) (\S+) -?\d+$/.exec(line);
      if (archive?.[1]) offers.at(-1)?.from.push(archive[1]);
      else if (version?.[1]) offers.push({ version: version[1], from: [] });
    }
    policies.set(name, { installed: field("Installed"), candidate: field("Candidate"), offers });
  }
  return policies;
}

/** The leading number of a Debian version, after the epoch: 25 of "1:25.0.7-2~bpo12+1"; 0 when it has none. */
export const majorVersion = (version: string): number => Number(/^(?:\d+:)?(\d+)/.exec(version)?.[1] ?? 0);

/** The newest version of a suite, by its leading number. */
export function offeredBy(policy: Policy | undefined, suite: string): string | undefined {
  return policy?.offers
    .filter((offer) => offer.from.some((archive) => archive.split("/")[0] === suite))
    .map((offer) => offer.version)
    .sort((a, b) => majorVersion(b) - majorVersion(a))[0];
}
