import { describe, expect, test } from "bun:test";
import { majorVersion, offeredBy, parsePolicy } from "../../src/setup/apt-policy.ts";
import { backportsStanza, parseSourceLines, parseSourceStanzas, parseSources } from "../../src/setup/apt-sources.ts";

const LINES = `# a comment
deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/own.gpg] https://mirror.example/debian bookworm main contrib # note
deb-src http://mirror.example/debian bookworm main
#deb http://off.example/debian bookworm main

deb http://other.example/apt stable tool
`;

const STANZAS = `Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main non-free
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
`;

describe("one-line sources", () => {
  test("keep type, place, suite, components and options; comments are no sources", () => {
    const sources = parseSourceLines(LINES);
    expect(sources).toEqual([
      {
        types: ["deb"],
        uris: ["https://mirror.example/debian"],
        suites: ["bookworm"],
        components: ["main", "contrib"],
        options: { Architectures: "amd64 arm64", "Signed-By": "/usr/share/keyrings/own.gpg" },
      },
      {
        types: ["deb-src"],
        uris: ["http://mirror.example/debian"],
        suites: ["bookworm"],
        components: ["main"],
        options: {},
      },
      { types: ["deb"], uris: ["http://other.example/apt"], suites: ["stable"], components: ["tool"], options: {} },
    ]);
  });
});

describe("deb822 sources", () => {
  test("keep continued fields and leave out what is not enabled", () => {
    const sources = parseSourceStanzas(STANZAS);
    expect(sources.map((source) => source.uris)).toEqual([
      ["http://mirror.example/debian"],
      ["http://security.example/debian-security"],
    ]);
    expect(sources[0]?.types).toEqual(["deb", "deb-src"]);
    expect(sources[0]?.suites).toEqual(["bookworm", "bookworm-updates"]);
    expect(sources[0]?.options["Signed-By"]).toBe("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF");
  });

  test("are told from one-line sources by the file's name", () => {
    expect(parseSources("debian.sources", STANZAS)).toHaveLength(2);
    expect(parseSources("sources.list", LINES)).toHaveLength(3);
  });
});

describe("backports", () => {
  test("come from the mirror that serves the release, with its keys", () => {
    expect(backportsStanza(parseSourceLines(LINES), "bookworm")).toBe(
      "Types: deb\nURIs: https://mirror.example/debian\nSuites: bookworm-backports\nComponents: main\n" +
        "Architectures: amd64 arm64\nSigned-By: /usr/share/keyrings/own.gpg\n",
    );
    const stanza = backportsStanza(parseSourceStanzas(STANZAS), "bookworm") ?? "";
    expect(parseSourceStanzas(stanza)[0]).toMatchObject({
      uris: ["http://mirror.example/debian"],
      suites: ["bookworm-backports"],
      options: { "Signed-By": "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF" },
    });
  });

  test("are not added twice, nor for a release that the sources do not have", () => {
    const enabled = parseSourceLines(`${LINES}deb http://mirror.example/debian bookworm-backports main\n`);
    expect(backportsStanza(enabled, "bookworm")).toBeUndefined();
    expect(backportsStanza(parseSourceLines(LINES), "trixie")).toBeUndefined();
  });
});

const POLICY = `mesa-vulkan-drivers:
  Installed: (none)
  Candidate: 22.3.6-1+deb12u2
  Version table:
     25.0.7-2~bpo12+1 100
        100 http://mirror.example/debian bookworm-backports/main amd64 Packages
     22.3.6-1+deb12u2 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
libvulkan1:
  Installed: 1.3.239.0-1
  Candidate: 1.3.239.0-1
  Version table:
 *** 1.3.239.0-1 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
`;

describe("apt-cache policy", () => {
  test("is read by package, with the archive of each version", () => {
    const policies = parsePolicy(POLICY);
    expect([...policies.keys()]).toEqual(["mesa-vulkan-drivers", "libvulkan1"]);
    expect(policies.get("mesa-vulkan-drivers")).toEqual({
      installed: undefined,
      candidate: "22.3.6-1+deb12u2",
      offers: [
        { version: "25.0.7-2~bpo12+1", from: ["bookworm-backports/main"] },
        { version: "22.3.6-1+deb12u2", from: ["bookworm/main"] },
      ],
    });
    expect(policies.get("libvulkan1")?.installed).toBe("1.3.239.0-1");
    expect(policies.get("libvulkan1")?.offers).toEqual([{ version: "1.3.239.0-1", from: ["bookworm/main"] }]);
  });

  test("says what a suite offers", () => {
    const policy = parsePolicy(POLICY).get("mesa-vulkan-drivers");
    expect(offeredBy(policy, "bookworm-backports")).toBe("25.0.7-2~bpo12+1");
    expect(offeredBy(policy, "trixie-backports")).toBeUndefined();
    expect(offeredBy(undefined, "bookworm-backports")).toBeUndefined();
  });

  test("is empty for a package that no list has", () => {
    expect(parsePolicy("N: Unable to locate package nothing\n").size).toBe(0);
  });

  test("versions are compared by their leading number, after the epoch", () => {
    expect(["1:25.0.7-2~bpo12+1", "22.3.6-1", "24", "unknown"].map(majorVersion)).toEqual([25, 22, 24, 0]);
  });
});
