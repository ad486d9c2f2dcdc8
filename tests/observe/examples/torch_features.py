"""Exercises most of what torch offers, and prints a digest of every result and of the state of all generators."""

import copy
import hashlib
import inspect
import io
import random
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)


def show(name, *values):
    digest = hashlib.blake2b(digest_size=6)
    for value in values:
        digest.update(value.detach().cpu().numpy().tobytes() if torch.is_tensor(value) else np.asarray(value).tobytes())
    state = hashlib.blake2b(
        torch.get_rng_state().numpy().tobytes()
        + repr(np.random.get_state()[1][:5]).encode()
        + repr(random.getstate()[1][:4]).encode(),
        digest_size=6,
    )
    print(name, digest.hexdigest(), state.hexdigest())


torch.manual_seed(0)
np.random.seed(0)
random.seed(0)
X = np.random.randn(120, 10).astype("float32")
y = (X[:, 0] > 0).astype("int64")


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return self.drop(F.relu(self.norm(self.layer(x)))) + x


class Net(nn.Module):
    def __init__(self, width=10, classes=2):
        super().__init__()
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.blocks(x)
        if self.training:
            x = x + 0.01 * torch.randn_like(x)
        return self.head(x)


net = Net()
show("init", *net.parameters())
data = TensorDataset(torch.tensor(X), torch.tensor(y))
train, held = random_split(data, [90, 30])
loader = DataLoader(train, batch_size=16, shuffle=True)
test = DataLoader(held, batch_size=16)
opt = torch.optim.Adam(net.parameters(), lr=1e-2)
sched = torch.optim.lr_scheduler.ReduceLROnPlateau(opt)
crit = nn.CrossEntropyLoss()
for _epoch in range(3):
    net.train()
    for bx, by in loader:
        opt.zero_grad()
        loss = crit(net(bx), by)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
    net.eval()
    outs, labs = [], []
    with torch.inference_mode():
        for bx, by in test:
            out = net(bx)
            outs.append(out.softmax(1)[:, 1].numpy())
            labs.extend(by.tolist())
    sched.step(loss)
    show("epoch", loss, np.concatenate(outs))
scripted = torch.jit.script(Net().eval())
show("script", scripted(torch.tensor(X)))


@torch.jit.script
def scripted_loss(a: torch.Tensor, b: torch.Tensor):
    loss = F.cross_entropy(torch.sigmoid(a), b)  # mllint-bio: ignore[MLB313] -- many functions in one graph, no training
    return loss + torch.tensor(1.0) + torch.softmax(a, 1).sum()


show("script function", scripted_loss(torch.tensor(X)[:, :2], torch.tensor(y)))
traced = torch.jit.trace(net.eval(), torch.tensor(X))
show("trace", traced(torch.tensor(X)))
buffer = io.BytesIO()
torch.jit.save(traced, buffer)
print("traced size", len(traced.graph.__str__().splitlines()))

params = {k: v.detach() for k, v in net.named_parameters()}
bufs = dict(net.named_buffers())
g = vmap(grad(lambda p, x, t: F.cross_entropy(functional_call(net, (p, bufs), (x[None],)), t[None])), in_dims=(None, 0, 0))(
    params, torch.tensor(X)[:5], torch.tensor(y)[:5]
)
show("per-sample", *g.values())
compiled = torch.compile(Net(), backend="eager")
o2 = torch.optim.SGD(compiled.parameters(), lr=0.1)
for _ in range(3):
    o2.zero_grad()
    value = F.nll_loss(F.log_softmax(compiled(torch.tensor(X)), 1), torch.tensor(y))
    value.backward()
    o2.step()
show("compiled", value, *compiled.parameters())


@torch.compile(backend="eager", fullgraph=True)
def step(x, w):
    return (
        F.binary_cross_entropy_with_logits((x @ w).squeeze(1), torch.sigmoid(x[:, 0])) + torch.cat([x, x]).view(-1).sum().detach()
    )


w = torch.zeros(10, 1, requires_grad=True)
v = step(torch.tensor(X), w)
v.backward()
show("full graph", v, w.grad)
full = torch.compile(Net().eval(), backend="eager", fullgraph=True)
show("full graph module", full(torch.tensor(X)))
lb = torch.optim.LBFGS(net.parameters(), max_iter=4)


def closure():
    lb.zero_grad()
    value = crit(net(torch.tensor(X)), torch.tensor(y))
    value.backward()
    return value


show("lbfgs", lb.step(closure))
twin = copy.deepcopy(net)
show("deepcopy", *twin.state_dict().values())
b = io.BytesIO()
torch.save(net, b)
b.seek(0)
back = torch.load(b, weights_only=False)
show("pickle", *back.parameters())
b = io.BytesIO()
torch.save({"net": net.state_dict(), "opt": opt.state_dict()}, b)
b.seek(0)
net.load_state_dict(torch.load(b)["net"])


class Items(Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return {"x": self.X[i] + np.random.randn(10).astype("float32") * 0.1, "y": self.y[i], "name": f"row {i}"}


for workers in (0, 2):
    got = [
        b["x"].sum()
        for b in DataLoader(Items(X, y), batch_size=7, num_workers=workers, sampler=WeightedRandomSampler(np.ones(120), 50))
    ]
    show(f"items {workers}", *got)
pers = DataLoader(Items(X, y), batch_size=50, num_workers=1, persistent_workers=True, shuffle=True)
for _ in range(2):
    show("persistent", *[b["y"] for b in pers])
show("batched", *[b[0] for b in DataLoader(data, sampler=BatchSampler(SequentialSampler(data), 10, False), batch_size=None)])


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.full((3,), float(i)), i) for i in range(10)])


show("stream", *[a for a, _ in DataLoader(Stream(), batch_size=4)])
show("lists", *list(DataLoader(list(range(20)), batch_size=4, shuffle=True)))
show("concat", *[a for a, _ in DataLoader(ConcatDataset([Subset(data, [1, 2, 3]), data]), batch_size=50)])
lstm = nn.LSTM(10, 4, dropout=0.1, num_layers=2)
show("lstm", lstm(torch.tensor(X).view(12, 10, 10))[0])
mha = nn.MultiheadAttention(10, 2, dropout=0.1)
show("mha", mha(*[torch.tensor(X).view(12, 10, 10)] * 3)[0])
enc = nn.TransformerEncoderLayer(10, 2, 16)
show("transformer", enc(torch.tensor(X).view(12, 10, 10)))
enc.eval()
with torch.no_grad():
    show("fast path", enc(torch.tensor(X).view(12, 10, 10)))
h = net.register_forward_hook(lambda m, i, o: o * 2)
show("hook", net(torch.tensor(X)))
h.remove()
with torch.autocast("cpu", dtype=torch.bfloat16):
    show("autocast", net(torch.tensor(X)).float())
dp = nn.DataParallel(net)
show("data parallel", dp(torch.tensor(X)))

sn = parametrizations.spectral_norm(nn.Linear(10, 3))
show("spectral", sn(torch.tensor(X)))
q = torch.ao.quantization.quantize_dynamic(net.eval(), {nn.Linear}, dtype=torch.qint8)
show("quantised", q(torch.tensor(X)))

z = torch.tensor(X, requires_grad=True)
checkpoint(net.blocks, z, use_reentrant=False).sum().backward()
show("checkpoint", z.grad)


class Half(torch.Tensor):
    pass


hh = torch.tensor(X).as_subclass(Half)
show("subclass", (hh.float().squeeze() > 0).float())
print(type(hh.view(-1)).__name__)
with torch.device("meta"):
    m = Net()
print(sum(p.numel() for p in m.parameters()), m(torch.empty(3, 10, device="meta")).shape)

print(
    inspect.signature(nn.Linear),
    inspect.signature(F.cross_entropy),
    inspect.signature(DataLoader),
    torch.Tensor.to.__name__,
    F.mse_loss.__name__,
)
print(torch.max(torch.tensor(X), 1).indices.sum(), torch.tensor(X).max(dim=1)[0].shape, torch.tensor([3.0, 1.0]).argmax().item())
e = torch.export.export(Net().eval(), (torch.tensor(X),))
show("export", e.module()(torch.tensor(X)))
fx = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(10, 2), nn.ReLU()))
show("fx", fx(torch.tensor(X)))
print(fx.code)
torch.autograd.gradcheck(lambda a: torch.sigmoid(a).sum(), torch.rand(3, dtype=torch.double, requires_grad=True))
with warnings.catch_warnings():
    torch.use_deterministic_algorithms(True)
    torch.use_deterministic_algorithms(False)
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.benchmark = False
print(torch.backends.cudnn.deterministic)
show("end", torch.rand(3))
