"""Builds the kernels with the package where there is a compiler; without one the package is pure Python and computes in numpy."""

from __future__ import annotations

import importlib.util
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """The library goes into the wheel beside its sources, and the wheel is for this platform, whatever its Python."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Where there is no C compiler and Zig's has a package: that. CC=false asks for neither."""
        has_package = sys.platform in ("linux", "darwin") and platform.machine() in ("x86_64", "aarch64", "arm64")
        return ["ziglang"] if has_package and not any(True for _ in self._kernels().compilers()) else []

    def _kernels(self) -> Any:
        """The module that builds them, from its file: the package is not there yet."""
        path = Path(self.root) / "src/unspool/kernels/build.py"
        spec = importlib.util.spec_from_file_location("unspool_kernels_build", path)
        assert spec is not None
        assert spec.loader is not None
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        return kernels

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        kernels = self._kernels()
        try:
            built = kernels.build()
        except kernels.NoCompiler as error:
            self.app.display_warning(f"the kernels were not built, so unspool computes in numpy: {error}")
            return
        build_data["artifacts"].append(str(built.relative_to(self.root)))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
