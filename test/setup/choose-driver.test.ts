import { describe, expect, test } from "bun:test";
import { chooseDriver, type Machine } from "../../src/setup/choose-driver.ts";
import { parseOsRelease } from "../../src/setup/driver.ts";

const DEBIAN: Machine = {
  platform: "linux",
  arch: "x64",
  root: true,
  distributions: ["debian"],
  codename: "bookworm",
  apt: true,
};

describe("the software driver for a machine without an adapter", () => {
  test("is the release's own Mesa where that is recent", () => {
    const machine = { ...DEBIAN, aptCandidate: "25.0.7-2", backports: "26.1.0-1~bpo13+1" };
    expect(chooseDriver(machine)).toEqual({ route: "mesa", version: "25.0.7-2", release: undefined });
  });

  test("is Mesa from backports where the release's own is too old", () => {
    const machine = { ...DEBIAN, aptCandidate: "22.3.6-1+deb12u2", backports: "25.0.7-2~bpo12+1" };
    expect(chooseDriver(machine)).toEqual({
      route: "mesa",
      version: "25.0.7-2~bpo12+1",
      release: "bookworm-backports",
    });
  });

  test("is SwiftShader where apt has only an old Mesa, or none", () => {
    expect(chooseDriver({ ...DEBIAN, aptCandidate: "23.2.1-1ubuntu3" })).toEqual({
      route: "swiftshader",
      why: "apt offers Mesa 23.2.1-1ubuntu3, 24 or later is needed",
    });
    expect(chooseDriver(DEBIAN)).toEqual({ route: "swiftshader", why: "apt offers no Mesa" });
  });

  test("is SwiftShader without root, whatever apt has", () => {
    const machine = { ...DEBIAN, root: false, aptCandidate: "25.0.7-2" };
    expect(chooseDriver(machine)).toEqual({ route: "swiftshader", why: "packages can only be installed as root" });
  });

  test("is SwiftShader on a Linux that is not Debian or Ubuntu", () => {
    for (const machine of [
      { ...DEBIAN, distributions: ["fedora"], apt: false },
      { ...DEBIAN, apt: false },
    ]) {
      expect(chooseDriver(machine)).toEqual({
        route: "swiftshader",
        why: "this system has no apt of Debian or Ubuntu",
      });
    }
  });

  test("counts systems that call themselves like Debian", () => {
    const machine = { ...DEBIAN, distributions: ["linuxmint", "ubuntu", "debian"], aptCandidate: "25.0.7" };
    expect(chooseDriver(machine).route).toBe("mesa");
  });

  test("is none, with advice, on other processors and systems", () => {
    expect(chooseDriver({ ...DEBIAN, arch: "arm64", root: false })).toEqual({
      route: "none",
      why: "packages can only be installed as root, and SwiftShader is published for x64 only, not arm64",
      advice: "install Mesa's Vulkan drivers, 24 or later (mesa-vulkan-drivers, vulkan-swrast), and the Vulkan loader",
    });
    expect(chooseDriver({ ...DEBIAN, platform: "darwin" })).toMatchObject({
      route: "none",
      why: "there is no software driver to fetch for darwin",
    });
    expect(chooseDriver({ ...DEBIAN, platform: "win32" })).toMatchObject({ route: "none" });
  });
});

test("os-release is read with and without quotes", () => {
  const fields = parseOsRelease(
    `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nID_LIKE='a b'\n#X=1\nVERSION_CODENAME=bookworm\n`,
  );
  expect(Object.fromEntries(fields)).toEqual({
    PRETTY_NAME: "Debian GNU/Linux 12 (bookworm)",
    ID: "debian",
    ID_LIKE: "a b",
    VERSION_CODENAME: "bookworm",
  });
});
