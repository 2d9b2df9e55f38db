"""The machine a run uses: device, precision, processes and folder. Science is in the estimator, never here.

Several processes are started by ``torchrun``; each takes a strided slice of every global batch. Every rank computes
the same global loss, from values that went through :meth:`Runtime.gather`, :meth:`Runtime.sum` or
:meth:`Runtime.mean`. Their backward passes are the exact adjoints, so the gradients that an optimiser averages over
the processes before each step are those of one process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from kinfold.errors import InputError, KinfoldError
from kinfold.files import last_checkpoint, read_checkpoint, safe_join, write_checkpoint

Movable = TypeVar("Movable", Tensor, nn.Module)


class Interrupted(KinfoldError):
    """Ctrl-C stopped a fit; the sentence says what was saved and how to go on."""


class PartnerLost(KinfoldError):
    """Another process of the run ended, so this one cannot go on; the sentence says what was saved."""


class Progress:
    """What a run tells whoever watches. This one is silent; the command line passes one that draws.

    Examples
    --------
    >>> progress = Progress()
    >>> progress.phase("reading", total=10)
    >>> progress.advance(10)
    >>> progress.done()
    """

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a piece of work of `total` steps, or of unknown length."""

    def advance(self, n: int = 1) -> None:
        """Count `n` finished steps."""

    def partly(self, share: float) -> None:
        """Count one more share of the next step, 0 to 1, as done; what is missing to 1 comes with the step."""

    def say(self, sentence: str) -> None:
        """Pass on one plain sentence."""

    def done(self) -> None:
        """End the piece of work."""


class _Sum(torch.autograd.Function):
    """Sum over processes whose backward pass is the sum over processes of the incoming gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    """Rows of all processes, interleaved as the strided shares were taken."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
        rows = torch.zeros((n, *x.shape[1:]), dtype=x.dtype, device=x.device)
        rows[dist.get_rank() :: dist.get_world_size()] = x
        dist.all_reduce(rows)
        return rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[dist.get_rank() :: dist.get_world_size()], None


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the global batch, on any device and for unequal shares.

    Takes ``(b, c, ...)``. It keeps the weights and the names of the layer it replaces, so weights saved by several
    processes load into a plain network.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Every input of two dimensions or more is welcome."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise over the rows and positions of all processes, ``(b, c, ...) -> (b, c, ...)``."""
        use_batch = self.training or self.running_mean is None
        if not use_batch or not _started() or dist.get_world_size() == 1:
            return super().forward(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        x = input if input.dtype == torch.float64 else input.float()
        own = torch.tensor([x.numel() / x.shape[1] if x.shape[1] else 0.0], device=x.device)
        parts: Tensor = _Sum.apply(torch.cat([x.sum(axes), own]))
        count = parts[-1].detach()
        mean = parts[:-1] / count
        centred = x - mean.view(shape)
        squares: Tensor = _Sum.apply(centred.square().sum(axes))
        variance = squares / count
        if self.training and self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * (count / (count - 1).clamp(min=1)))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics as the replaced layer would."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(variance.to(self.running_var.dtype), rate)


def native_bfloat16() -> bool:
    """Whether the processor has matrix products in bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _started() -> bool:
    return bool(dist.is_available() and dist.is_initialized())


def _globalise(net: nn.Module) -> nn.Module:
    """Replace batch-norm layers in place, keeping their weights; returns the network, or its replacement."""
    if isinstance(net, nn.modules.batchnorm._BatchNorm) and not isinstance(net, GlobalBatchNorm):
        new = GlobalBatchNorm(net.num_features, net.eps, net.momentum, net.affine, net.track_running_stats)
        new.weight, new.bias = net.weight, net.bias
        new.running_mean, new.running_var = net.running_mean, net.running_var
        new.num_batches_tracked = net.num_batches_tracked
        return new.train(net.training)
    for name, child in net.named_children():
        setattr(net, name, _globalise(child))
    return net


def _average_gradients(optimizer: Optimizer, *_: object) -> None:
    """Replace gradients by their mean over the processes, in one message a dtype."""
    weights = [w for group in optimizer.param_groups for w in group["params"] if w.requires_grad]
    for dtype in sorted({w.dtype for w in weights}, key=str):
        chosen = [w for w in weights if w.dtype == dtype]
        flat = torch.cat([(torch.zeros_like(w) if w.grad is None else w.grad).reshape(-1) for w in chosen])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        start = 0
        for w in chosen:
            part = flat[start : start + w.numel()].view(w.shape)
            start += w.numel()
            if w.grad is not None:
                w.grad.copy_(part)
            elif bool(part.any()):  # another process used this weight
                w.grad = part.clone()


@dataclass
class Runtime:
    """Device, precision, processes and folder of a run; nothing that changes the result.

    Parameters
    ----------
    device
        "auto" (a GPU when there is one), or a torch device such as "cpu" or "cuda:1".
    precision
        "auto" (bfloat16 on a GPU that has it, and on such a processor for training on images; else float32), "float32"
        or "bfloat16".
    folder
        Where the run is written: results at the end, a checkpoint after each round. None writes nothing.
    resume
        Go on from the checkpoint in `folder`, if there is one.
    keep_checkpoint
        Keep ``folder/checkpoint``, and what was computed once in ``folder/cache``, after the fit.
    progress
        Who is told how far the run is.

    Examples
    --------
    >>> run = Runtime(device="cpu")
    >>> run.world, run.is_main
    (1, True)
    >>> run.share([5, 6, 7])
    array([5, 6, 7])
    """

    device: str = "auto"
    precision: str = "auto"
    folder: str | Path | None = None
    resume: bool = False
    keep_checkpoint: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"precision is {self.precision!r}; expected 'auto', 'float32' or 'bfloat16'.")
        if self.device != "auto":
            self._torch_device()

    # -- processes -----------------------------------------------------------------------------------------------------

    @property
    def world(self) -> int:
        """Number of processes; joins the group that torchrun described, at first use."""
        if dist.is_available() and not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            if "RANK" not in os.environ or "MASTER_ADDR" not in os.environ:
                raise InputError("WORLD_SIZE is set but RANK or MASTER_ADDR is not; start processes with torchrun.")
            if self._wants_gpu():
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            dist.init_process_group("nccl" if self._wants_gpu() else "gloo")
            atexit.register(_leave)
        return dist.get_world_size() if _started() else 1

    @property
    def rank(self) -> int:
        """This process, from 0."""
        return dist.get_rank() if self.world > 1 else 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, index: Sequence[int] | np.ndarray[Any, Any] | Tensor) -> Any:
        """This process's strided slice of a global batch, ``(b,) -> (b / world,)``."""
        if not isinstance(index, Tensor):
            index = np.asarray(index)
        return index[self.rank :: self.world] if self.world > 1 else index

    def sum(self, x: Tensor) -> Tensor:
        """Sum over processes, carrying gradients, ``(...) -> (...)``."""
        if self.world == 1:
            return x
        total: Tensor = _Sum.apply(x)
        return total

    def mean(self, x: Tensor, rows: int | None = None) -> Tensor:
        """Mean over processes, carrying gradients, ``(...) -> (...)``.

        Parameters
        ----------
        x
            A mean over the rows of this process's share.
        rows
            How many rows that share has. None weighs the processes equally, right when the shares are of equal size.
        """
        if self.world == 1:
            return x
        if rows is None:
            return self.sum(x) / self.world
        total = self.sum(torch.tensor(float(rows), device=x.device))
        return self.sum(x * rows if rows else torch.zeros_like(x)) / total

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all shares in the order of the global batch, carrying gradients, ``(b / world, ...) -> (b, ...)``."""
        if self.world == 1:
            return x
        counts = torch.zeros(self.world, dtype=torch.int64, device=x.device)
        counts[self.rank] = len(x)
        dist.all_reduce(counts)
        n = int(counts.sum())
        if counts.tolist() != [len(range(r, n, self.world)) for r in range(self.world)]:
            raise ValueError(f"the processes hold {counts.tolist()} rows; expected strided shares as run.share gives.")
        rows: Tensor = _Gather.apply(x, n)
        return rows

    def agree(self, value: int) -> int:
        """The value of the first process, on every process."""
        if self.world == 1:
            return value
        device = self._torch_device()
        told = torch.tensor(value if self.is_main else 0, dtype=torch.int64, device=device)
        dist.broadcast(told, src=0)
        return int(told)

    def has_lost_a_partner(self, error: BaseException) -> bool:
        """Whether an error says that another process of the group is gone.

        >>> Runtime().has_lost_a_partner(RuntimeError("shapes do not fit"))
        False
        """
        return _started() and (isinstance(error, dist.DistError) or "gloo" in str(error).lower())

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()

    def wrap(self, net: nn.Module, *optimizers: Optimizer) -> nn.Module:
        """Prepare a network, and the optimisers of its weights, for this machine.

        The network moves to the device. With several processes its weights become those of the first, its batch-norm
        layers use the global batch, and each optimiser averages the gradients over the processes just before it steps,
        whatever part of the network made them. Wrapping twice does nothing more.
        """
        net = self.to(net)
        if self.world == 1:
            return net
        net = _globalise(net)
        for value in net.state_dict().values():
            dist.broadcast(value, src=0)
        for optimizer in optimizers:
            if not getattr(optimizer, "_averages_over_processes", False):
                optimizer.register_step_pre_hook(_average_gradients)
                optimizer._averages_over_processes = True  # type: ignore[attr-defined]
        return net

    # -- device and precision ------------------------------------------------------------------------------------------

    def _wants_gpu(self) -> bool:
        return torch.cuda.is_available() if self.device == "auto" else self.device.startswith("cuda")

    def _torch_device(self) -> torch.device:
        if self.device != "auto":
            try:
                found = torch.device(self.device)
            except RuntimeError:
                raise InputError(f"device is {self.device!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:0'.") from None
            if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
                raise InputError(f"device is {self.device!r}, but there is no such GPU here; expected 'cpu' or 'auto'.")
            return found
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")

    @contextlib.contextmanager
    def dice(self, generator: torch.Generator) -> Iterator[None]:
        """Context in which layers that throw torch's common dice (first weights, dropout) throw those of `generator`.

        Outside nothing is changed: the common dice are put back.
        """
        seed = int(torch.randint(2**62, (1,), generator=generator))
        device = self._torch_device()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
            if device.type == "cuda":
                torch.cuda.set_rng_state(torch.Generator(device).manual_seed(seed).get_state(), device)
            yield

    @property
    def device_name(self) -> str:
        """The device that the run uses, such as "cpu"."""
        return str(self._torch_device())

    def to(self, x: Movable) -> Movable:
        """A tensor or network on this run's device.

        Convolutions are laid out channels last, which is 1.5 to 2.4 times as fast on a processor for networks of
        these sizes.
        """
        x = x.to(self._torch_device())
        if isinstance(x, nn.Module):
            x.to(memory_format=torch.channels_last)
        return x

    @contextlib.contextmanager
    def autocast(self, *, training: bool = False) -> Iterator[None]:
        """Context in which networks compute in this run's precision.

        On a processor "auto" is bfloat16 only while images are trained on, and only where the processor multiplies it
        natively: 1.7 times as fast there. Features are looked at in float32.
        """
        device = self._torch_device()
        wanted = self.precision == "bfloat16"
        if self.precision == "auto" and device.type == "cuda":
            wanted = torch.cuda.is_bf16_supported()
        if self.precision == "auto" and device.type == "cpu":
            wanted = training and native_bfloat16()
        with torch.autocast(device.type, torch.bfloat16, enabled=wanted):
            yield

    # -- folder --------------------------------------------------------------------------------------------------------

    def cache(self, name: str) -> Path | None:
        """A file in the run folder for what is computed once, or None when the run has no folder."""
        if self.folder is None:
            return None
        path = safe_join(Path(self.folder) / "cache", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def checkpoint(self) -> Path | None:
        """The newest complete checkpoint in the folder, or None."""
        return None if self.folder is None else last_checkpoint(Path(self.folder) / "checkpoint")

    def save(self, number: int, value: object, about: Mapping[str, Any]) -> None:
        """Write a checkpoint; only the first process writes, and only when there is a folder.

        Parameters
        ----------
        number
            Counts up; the highest is the one read.
        value
            What :func:`kinfold.files.pack` can take apart.
        about
            JSON that says what this is a checkpoint of.
        """
        if self.folder is not None and self.is_main:
            write_checkpoint(Path(self.folder) / "checkpoint", number, value, about)

    def discard_checkpoint(self) -> None:
        """Delete ``folder/checkpoint``, ``folder/cache`` and decoded ``folder/pixels``, unless they are to be kept."""
        if self.folder is not None and self.is_main and not self.keep_checkpoint:
            for name in ("cache", "checkpoint", "pixels"):
                shutil.rmtree(Path(self.folder) / name, ignore_errors=True)

    def load(self, like: Any, check: Callable[[Any], None]) -> Any:
        """What :meth:`save` wrote last, read into the freshly made `like`; `like` itself if there is nothing.

        `check` is given what was said `about` the checkpoint, before anything is filled.
        """
        path = self.checkpoint()
        return like if path is None else read_checkpoint(path, like, check)


def _leave() -> None:
    """Leave the process group quietly when Python ends."""
    if _started():
        dist.destroy_process_group()
