/* Parts of a job handed out to threads that wait for the next one without sleeping.
 *
 * The ticket holds the number of the job and how many of its parts are left; whoever takes one
 * off takes that part.  The thread that publishes a job takes parts as well, so that it waits for
 * those alone that another has begun.
 */
#ifndef CREG_TEAM_H
#define CREG_TEAM_H

#include <stdint.h>

#if defined(_MSC_VER)
#include <windows.h>
static __inline int64_t creg_load(volatile int64_t *at)
{
    return InterlockedCompareExchange64((volatile LONG64 *)at, 0, 0);
}
static __inline void creg_store(volatile int64_t *at, int64_t value)
{
    InterlockedExchange64((volatile LONG64 *)at, value);
}
static __inline int creg_replace(volatile int64_t *at, int64_t old, int64_t value)
{
    return InterlockedCompareExchange64((volatile LONG64 *)at, value, old) == old;
}
static __inline void creg_add_one(volatile int64_t *at)
{
    InterlockedIncrement64((volatile LONG64 *)at);
}
static __inline void creg_yield(void)
{
    SwitchToThread();
}
static __inline void creg_pause(void)
{
    YieldProcessor();
}
#else
#include <sched.h>
static inline int64_t creg_load(volatile int64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
static inline void creg_store(volatile int64_t *at, int64_t value)
{
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
static inline int creg_replace(volatile int64_t *at, int64_t old, int64_t value)
{
    return __atomic_compare_exchange_n(at, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline void creg_add_one(volatile int64_t *at)
{
    __atomic_fetch_add(at, 1, __ATOMIC_SEQ_CST);
}
static inline void creg_yield(void)
{
    sched_yield();
}
static inline void creg_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}
#endif
#endif
