"""The words for which grading/reach.py looks: what an answer has no need of, and what gets at the grader."""

import re


def _words(text):
    return set(text.split())


# Modules whose use in an answer is about other code: frames, sources, the interpreter, other programs, the notebook itself.
MODULES = _words(
    "ast asyncio atexit bdb builtins cProfile code codeop comm copyreg ctypes dill dis doctest faulthandler importlib inspect "
    "logging.config marshal opcode pdb pickle pkgutil profile pydoc runpy shelve signal socket subprocess symtable sysconfig "
    "trace unittest __main__ IPython ipykernel jupyter_client nbgrader tornado traitlets zmq"
)
HARMLESS_MODULES = {"IPython.display"}
PARTLY = {  # of these an answer uses what is named here; all else in them is about the interpreter and the notebook
    "gc": _words("collect disable enable isenabled"),
    "IPython": {"display"},
    "sys": _words(
        "argv byteorder executable exit float_info getrecursionlimit getsizeof maxsize path platform setrecursionlimit stderr "
        "stdout version version_info"
    ),
    "sys.stderr": {"flush", "write"},
    "sys.stdout": {"flush", "write"},
}
NAMES = _words(  # IPython's exit knows the shell; to call it is harmless
    "get_ipython In Out _ih _oh _dh _i _ii _iii exec eval compile __import__ globals breakpoint __builtins__ __loader__ "
    "__spec__ exit quit"
)
ATTRIBUTES = _words(
    "__self__ __func__ __globals__ __code__ __closure__ __builtins__ __subclasses__ __bases__ __mro__ __wrapped__ "
    "__traceback__ __defaults__ __kwdefaults__ __getattribute__ __loader__ __spec__ "
    "f_back f_locals f_globals f_builtins f_code gi_frame cr_frame ag_frame tb_frame tb_next _getframe _current_frames "
    "currentframe walk_stack walk_tb settrace setprofile addaudithook modules meta_path path_hooks displayhook attrgetter "
    "methodcaller get_type_hints ctypeslib load_inline get_ipython get_comm_manager ast_transformers input_transformers_post "
    "input_transformers_cleanup user_ns user_global_ns user_module do_execute execute_request run_cell shell"
)
ONLY_OF_SYS = {"modules", "meta_path", "path_hooks", "displayhook"}  # elsewhere these are honest: model.modules()
ANYWHERE = ATTRIBUTES - ONLY_OF_SYS
UNMISTAKABLE = ANYWHERE - {"shell"}  # in a text, too
# Other modules hold these by the same name: np.os, torch.inspect.
THROUGH_OTHERS = {"builtins", "ctypes", "gc", "importlib", "inspect", "sys"}
PRIVATE = re.compile(r"_(?!_|foreach_|fused_|dynamo|inductor|python_dispatch|pytree|int_mm|scaled_mm)")  # but for PyTorch's
FOR_ALL = re.compile(r"torch\.(library|nn\.modules\.module\.register_)|os\.(system|popen|fork|posix_spawn|exec|spawn)")
SETTINGS = {"backends", "environ", "path", "rcParams"}  # torch.backends.cudnn.benchmark = True changes no function
CHANGES = _words("__setitem__ append clear extend insert pop popitem remove setdefault update")  # of a dictionary or a list
UNPICKLES = {("allow_pickle", True), ("weights_only", False)}
MAY_TAKE_A_MODULE = {"dir", "getattr", "hasattr", "help", "print", "repr", "str", "type"}
MAGICS = {"matplotlib", "pip", "time", "timeit"}
OFTEN_LOCALS = {"In", "Out", "_i", "_ii", "_iii"}  # where a learner's own variable has the name, it is that
SHELL = {"system", "getoutput"}  # lines that begin with !
SHELL_LINE = re.compile(
    r"\s*(cat|date|df|du|echo|free|head|ls|lscpu|nproc|nvidia-smi|pip|pwd|tail|uname|wc|which)\b[^|;&<>`$]*"
)
