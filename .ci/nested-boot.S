# The boot sector of the Bochs machine that .ci/nested starts. It reads an unpacked Linux kernel and an initramfs from
# the disk behind it and enters the kernel as a PVH guest: in flat 32-bit mode, without paging, EBX = hvm_start_info.
#
# The disk, in chunks of 256 sectors after this one: KERNEL_CHUNKS that go to KERNEL, then DATA_CHUNKS that go to DATA:
# a page with the kernel's command line, then the initramfs. The script defines these symbols, and ENTRY and MEMORY.

        .set    chunk_sectors, 256

        .code16
        .globl  _start
_start: cli
        xor     %ax, %ax
        mov     %ax, %ds
        in      $0x92, %al              # A20
        or      $2, %al
        out     %al, $0x92
        lgdt    gdt_pointer
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmp    $8, $protected

        .code32
protected:
        mov     $16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $_start, %esp
        cld
        mov     $1, %ebx                # the next sector to read
        mov     $KERNEL, %edi
        mov     $KERNEL_CHUNKS, %ebp
        call    read
        mov     $DATA, %edi
        mov     $DATA_CHUNKS, %ebp
        call    read
        mov     $start_info, %ebx
        mov     $ENTRY, %eax
        jmp     *%eax

# Reads EBP chunks from sector EBX to EDI: READ SECTORS of the first ATA disk, 28-bit addresses, by polling.
read:   mov     $0x1f2, %edx
        xor     %eax, %eax              # 0 means 256 sectors
        out     %al, %dx
        mov     %ebx, %eax
        inc     %edx
        out     %al, %dx
        shr     $8, %eax
        inc     %edx
        out     %al, %dx
        shr     $8, %eax
        inc     %edx
        out     %al, %dx
        mov     $0xe0, %al              # drive 0, LBA; the image ends far below LBA bit 24
        inc     %edx
        out     %al, %dx
        mov     $0x20, %al
        inc     %edx
        out     %al, %dx
        mov     $chunk_sectors, %esi
1:      mov     $0x1f7, %edx
        in      %dx, %al
        and     $0x88, %al              # not busy, data ready
        cmp     $0x08, %al
        jne     1b
        mov     $0x1f0, %edx
        mov     $128, %ecx
        rep insl
        dec     %esi
        jnz     1b
        add     $chunk_sectors, %ebx
        dec     %ebp
        jnz     read
        ret

        .balign 8
gdt:    .quad   0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   gdt

        .balign 8
start_info:
        .long   0x336ec578, 1, 0, 1     # magic, version, flags, modules
        .quad   modules, DATA, 0, memory # modules, command line, ACPI's RSDP (Linux finds it), memory map
        .long   3, 0                    # entries of the memory map
modules:
        .quad   DATA + 0x1000, INITRAMFS_BYTES, 0, 0
memory: .quad   0, 0x9f000
        .long   1, 0                    # usable
        .quad   0x100000, MEMORY - 0x110000
        .long   1, 0
        .quad   MEMORY - 0x10000, 0x10000
        .long   3, 0                    # ACPI tables, which Bochs's BIOS puts into the last 64 KiB

        .org    510
        .word   0xaa55
