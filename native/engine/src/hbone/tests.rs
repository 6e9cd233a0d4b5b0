mod pool;
mod tunnel;
